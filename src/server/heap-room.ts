/**
 * How much a process's heaps may grow before V8 marks them.
 *
 * Everything a put passes through is a buffer outside the heap that lives for one round. V8 counts such
 * buffers as old memory until the next scavenge, and by itself gives a heap of 17 MiB 8 MiB to grow: a
 * store under load then marked its whole heap five times a second, a fifth of all its CPU and the longest
 * pauses it had. V8 forces a scavenge after 32 MiB of young buffers, so with more room than that they
 * never start a marking, whatever the size of the values.
 *
 * The flag holds for the whole process and all its threads, which is why only our own processes set it.
 */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { MIB } from '../base/limits.ts'

const ROOM = 48 * MIB
/** About what V8 gives a large heap under load by itself. */
const LEAST_PERCENT = 20
/**
 * V8 reads the flag after each marking, and counts from what was left then. Before it, what died old is
 * still there: the least size of the last minute is nearer to what will be left.
 */
const ADJUST_MS = 10_000
const SIZES_KEPT = 6

/** The growth, in percent of an old generation of this many bytes, that leaves it the room. */
export function growthPercent(oldBytes: number): number {
  return Math.max(LEAST_PERCENT, Math.ceil((ROOM / oldBytes) * 100))
}

/** From now on until the process ends. */
export function giveHeapRoom(): void {
  const sizes: number[] = []
  const adjust = () => {
    sizes.push(oldGenerationBytes())
    if (sizes.length > SIZES_KEPT) sizes.shift()
    setFlagsFromString(`--heap-growing-percent=${growthPercent(Math.min(...sizes))}`)
  }
  adjust()
  setInterval(adjust, ADJUST_MS).unref()
}

function oldGenerationBytes(): number {
  let bytes = 0
  for (const space of getHeapSpaceStatistics()) {
    // What is young is mostly garbage, and no part of what growth is counted from.
    if (!space.space_name.startsWith('new_')) bytes += space.space_used_size
  }
  return bytes
}
