/** How many files this process may have open at once. Node raises its soft limit to the hard one as it starts. */
import { readFileSync } from 'node:fs'

const LIMITS_FILE = '/proc/self/limits'
const OPEN_FILES = /^Max open files\s+(\d+)\s/m

/** Undefined where the machine does not tell: not Linux, no /proc, or no limit. */
export function openFilesMax(file = LIMITS_FILE): number | undefined {
  let limits: string
  try {
    limits = readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
  const found = OPEN_FILES.exec(limits)
  return found === null ? undefined : Number(found[1])
}
