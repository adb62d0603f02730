/**
 * Where a thread or child process finds its code. Workers load built JavaScript: from dist/ itself,
 * and from dist/ beside src/ when the caller runs from TypeScript, as tests do.
 */
export function builtUrl(path: string): URL {
  const here = import.meta.url
  const fromSource = here.endsWith('.ts')
  return new URL(fromSource ? `../../dist/${path}` : `../${path}`, here)
}
