/**
 * Wakes libuv's pool of threads once in a while, in case it sleeps beside work.
 *
 * glibc before 2.41 can lose the signal of a condition variable (its bug 25847), and Node's file
 * operations, the loading of modules among them, are handed to the pool by such a signal. Seen on glibc
 * 2.36: a writer thread that was loading its modules waited for ten minutes to read a file of 28 KiB,
 * while the read stood in the pool's queue and all its threads slept. The next work that anybody gives
 * to the pool wakes it; in a process that is only starting, or has nothing to do, nobody else does.
 */
import { stat } from 'node:fs'

const WAKE_MS = 1_000

/** Until what it returns is called; does not keep the process alive. */
export function keepPoolAwake(everyMs = WAKE_MS): () => void {
  // That it was asked is all that matters, not the answer.
  const wake = setInterval(() => stat('/', () => {}), everyMs).unref()
  return () => clearInterval(wake)
}
