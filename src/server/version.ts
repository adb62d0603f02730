/** The version in package.json, which stands beside src/ and dist/ alike. */
import { readFileSync } from 'node:fs'

const manifest = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { readonly version: string }

export const VERSION: string = manifest.version
