/** System errors as Node throws them, for file systems that are not the machine's. */

export function systemError(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code })
}
