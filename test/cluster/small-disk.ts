/** A real file system of a few mebibytes, for those who may mount one. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface SmallDisk {
  readonly dir: string
  unmount(): void
}

/** Undefined, and a line that says why, where it cannot be mounted. */
export function mountSmallDisk(mib: number): SmallDisk | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    process.stderr.write('skipped: mounting a small file system takes Linux and root\n')
    return undefined
  }
  const dir = mkdtempSync(join(tmpdir(), 'polyraft-small-disk-'))
  try {
    const options = { stdio: 'pipe' } as const
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'tmpfs', dir], options)
  } catch (error) {
    rmdirSync(dir)
    process.stderr.write(`skipped: cannot mount a small file system: ${(error as Error).message}\n`)
    return undefined
  }
  return {
    dir,
    unmount: () => {
      execFileSync('umount', [dir])
      rmdirSync(dir)
    },
  }
}
