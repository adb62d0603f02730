/**
 * Is a history of one register, to which every value is written at most once, linearizable? After
 * Gibbons and Korach, "Testing shared memories" (SIAM J. Computing 26, 1997): a write and the reads
 * of its value form a cluster, which spans a zone from the earliest end to the latest beginning of
 * its operations.
 *
 *   forward zone   earliest end < latest beginning: the register held the value all that time
 *   backward zone  otherwise: at some moment in between
 *
 * The history is linearizable exactly when no read ends before its write begins, no two forward
 * zones overlap, and no backward zone lies within a forward one.
 */
export interface RegisterOperation {
  readonly kind: 'write' | 'read'
  /** undefined: the register's initial state. */
  readonly value: string | undefined
  readonly begin: number
  /** Infinity: never heard of. */
  readonly end: number
}

interface Zone {
  readonly value: string | undefined
  readonly low: number
  readonly high: number
  readonly forward: boolean
}

/** What is wrong, or undefined. Operations that are known to have had no effect are to be left out. */
export function checkRegister(operations: readonly RegisterOperation[]): string | undefined {
  const clusters = new Map<
    string | undefined,
    { write: RegisterOperation; reads: RegisterOperation[] }
  >()
  const initial = { kind: 'write', value: undefined, begin: -2, end: -1 } as const
  clusters.set(undefined, { write: initial, reads: [] })
  for (const write of operations) {
    if (write.kind !== 'write') continue
    if (clusters.has(write.value)) return `value ${write.value} is written twice`
    clusters.set(write.value, { write, reads: [] })
  }
  for (const read of operations) {
    if (read.kind !== 'read') continue
    const cluster = clusters.get(read.value)
    if (cluster === undefined) return `value ${read.value} is read and was never written`
    if (read.end < cluster.write.begin) return `value ${read.value} is read before it is written`
    cluster.reads.push(read)
  }
  const zones: Zone[] = []
  for (const { write, reads } of clusters.values()) {
    // Nobody knows of it: it may have happened at the end of all things, or never.
    if (write.end === Number.POSITIVE_INFINITY && reads.length === 0) continue
    zones.push(zoneOf(write, reads))
  }
  return conflictOf(zones)
}

function zoneOf(write: RegisterOperation, reads: readonly RegisterOperation[]): Zone {
  let end = write.end
  let begin = write.begin
  for (const read of reads) {
    end = Math.min(end, read.end)
    begin = Math.max(begin, read.begin)
  }
  const forward = end < begin
  return { value: write.value, low: Math.min(end, begin), high: Math.max(end, begin), forward }
}

function conflictOf(zones: readonly Zone[]): string | undefined {
  const forward = zones.filter((zone) => zone.forward).sort((a, b) => a.low - b.low)
  for (let i = 1; i < forward.length; i++) {
    const [a, b] = [forward[i - 1]!, forward[i]!]
    if (b.low < a.high)
      return `values ${a.value} and ${b.value} are both current: ${text(a)}, ${text(b)}`
  }
  for (const zone of zones) {
    if (zone.forward) continue
    const around = forward.find(({ low, high }) => low < zone.low && zone.high < high)
    if (around === undefined) continue
    return `value ${zone.value} is current within ${around.value}: ${text(zone)}, ${text(around)}`
  }
  return undefined
}

function text({ low, high }: Zone): string {
  return `[${low}, ${high}]`
}
