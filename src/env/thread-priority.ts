/**
 * Threads of this process that take what others leave of the processors. Linux alone gives each thread
 * a priority of its own; elsewhere nothing happens.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { setPriority } from 'node:os'
import { errorMessage } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'

const THREADS_DIR = '/proc/self/task'

/** How nice it is to others, 0 to 19. */
export function lowerThisThread(nice: number): void {
  // To Linux "this process" is this thread; elsewhere it would be the whole process.
  if (process.platform === 'linux') setPriority(0, nice)
}

/**
 * Those that a native library runs in the background, which cannot be told otherwise: by name, how
 * nice each is. Answers how many there are.
 */
export function lowerThreads(nices: Readonly<Record<string, number>>, logger: Logger): number {
  if (process.platform !== 'linux') return 0
  try {
    return lower(nices)
  } catch (error) {
    // A sandbox without /proc, say: slower answers are no reason not to start.
    logger.warn({ reason: errorMessage(error) }, 'background threads keep their priority')
    return 0
  }
}

function lower(nices: Readonly<Record<string, number>>): number {
  let count = 0
  for (const id of readdirSync(THREADS_DIR)) {
    const nice = nices[threadName(id)]
    if (nice === undefined) continue
    setPriority(Number(id), nice)
    count++
  }
  return count
}

/** Empty when the thread has just ended. */
function threadName(id: string): string {
  try {
    return readFileSync(`${THREADS_DIR}/${id}/comm`, 'utf8').trimEnd()
  } catch {
    return ''
  }
}
