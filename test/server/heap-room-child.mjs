/**
 * Counts the markings of a heap through which short-lived buffers pass, half a MiB a round.
 *   none ROUNDS   until the first one has ended, ROUNDS at most
 *   room ROUNDS   in so many rounds
 */
import { constants, PerformanceObserver } from 'node:perf_hooks'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { giveHeapRoom } from '../../dist/server/heap-room.js'

const [, , mode, roundsMax] = process.argv
if (mode === 'room') giveHeapRoom()

let markings = 0
let begun = Number.POSITIVE_INFINITY
new PerformanceObserver((list) => {
  for (const { detail, startTime } of list.getEntries()) {
    if (startTime >= begun && detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) markings++
  }
}).observe({ entryTypes: ['gc'] })

// What a store holds beside: V8's room goes by the size of the old heap.
const held = Array.from({ length: 100_000 }, (_, i) => ({ index: i, text: `entry ${i}` }))
globalThis.gc()
begun = performance.now()
let round = 0
while (round < Number(roundsMax) && (mode === 'room' || markings === 0)) {
  round++
  for (let i = 0; i < 32; i++) Buffer.allocUnsafeSlow(16_384)
  // Objects of a round: they fill the new space, and so bring about scavenges.
  Array.from({ length: 512 }, (_, i) => ({ index: i, round }))
  await turn()
}
// The observer hears of the last ones a turn later.
await sleep(10)
process.stdout.write(JSON.stringify({ markings, rounds: round, held: held.length }))
