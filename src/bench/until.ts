/** Waiting for what a cluster does by itself. */
import { setTimeout as sleep } from 'node:timers/promises'
import { PolyraftError } from '../base/errors.ts'

/** Asks until the answer is yes; fails when that takes too long. */
export async function until(
  what: string,
  everyMs: number,
  msMax: number,
  met: () => Promise<boolean>,
): Promise<void> {
  const endMs = performance.now() + msMax
  while (!(await met())) {
    if (performance.now() > endMs) {
      throw new PolyraftError('Timeout', `${what} took more than ${msMax / 1000} s`)
    }
    await sleep(everyMs)
  }
}
