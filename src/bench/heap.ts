/** How much of the heap is in use, garbage aside. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

export function heapAfterGc(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  // What the first one finalizes, the second one frees.
  collect()
  collect()
  return process.memoryUsage().heapUsed
}
