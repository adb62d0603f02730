import { beforeEach, describe, expect, it } from 'vitest'
import { SCAN_ANSWER_ROWS_MAX } from '../../src/base/limits.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { type MemoryEngine, openMemoryEngine } from '../../src/engine/memory-engine.ts'
import { ColumnFamily, type KvReader } from '../../src/engine/port.ts'
import {
  GET_ANSWER_TOO_LARGE,
  RawKind,
  RawRequest,
  type RawResponse,
  SCAN_ANSWER_TOO_LARGE,
  SinkRoom,
} from '../../src/protocol/raw.ts'
import { dataKey } from '../../src/region/keys.ts'
import type { Region } from '../../src/region/region.ts'
import { SLICE_BYTES, SLICE_KEYS } from '../../src/store/late-reads.ts'
import { READS_HELD_MAX, RoundReads } from '../../src/store/round-reads.ts'
import { SCANS_RUNNING_MAX } from '../../src/store/scan-reads.ts'

const REGION: Region = {
  id: 1,
  startKey: Buffer.from('b'),
  endKey: Buffer.from('f'),
  epoch: { confVer: 1, version: 1 },
  peers: [],
}

const ZERO = Buffer.from([0])

let engine: MemoryEngine
let reads: RoundReads
let released: number
/** Bytes and keys of each call into the engine. */
let calls: { bytes: number; keys: number }[]
let turns: (() => void)[]
let looks: (() => void)[]
let current: boolean
/** Region, keys and bytes of each read that was answered. */
let counted: [number, number, number][]

beforeEach(() => {
  engine = openMemoryEngine()
  released = 0
  calls = []
  turns = []
  looks = []
  current = true
  counted = []
  reads = openReads(watched(engine))
  for (const key of 'abcdefg') store(key, `${key}1\0`)
})

function openReads(from: KvReader): RoundReads {
  return new RoundReads({
    engine: from,
    logger: silentLogger,
    release: () => released++,
    scheduler: { schedule: (run) => turns.push(run) },
    later: (_delayMs, run) => {
      looks.push(run)
      return () => {}
    },
    isCurrent: (region) => current && region === REGION,
    count: (regionId, keys, bytes) => counted.push([regionId, keys, bytes]),
  })
}

function watched(inner: MemoryEngine): KvReader {
  return {
    get: (cf, key) => inner.get(cf, key),
    getMany: (cf, keys, bytesMax) => {
      const values = inner.getMany(cf, keys, bytesMax)
      const bytes = values.reduce((sum, value) => sum + (value?.length ?? 0), 0)
      calls.push({ bytes, keys: keys.length })
      return values
    },
    scan: (cf, options) => inner.scan(cf, options),
    scanSync: (cf, options) => inner.scanSync(cf, options),
    openCursor: (cf, start, end) => inner.openCursor(cf, start, end),
  }
}

/** Turns until none is asked for. */
function runTurns(): number {
  let count = 0
  for (let turn = turns.shift(); turn !== undefined; turn = turns.shift()) {
    turn()
    count++
  }
  return count
}

function storeLarge(count: number, bytes: number): Buffer[] {
  const keys = Array.from({ length: count }, (_, i) =>
    Buffer.from(`c${String(i).padStart(6, '0')}`),
  )
  const batch = engine.newBatch()
  for (const key of keys) {
    batch.put(ColumnFamily.Default, dataKey(key), Buffer.concat([Buffer.alloc(bytes), ZERO]))
  }
  engine.write(batch, { sync: false })
  return keys
}

function store(key: string, stored: string): void {
  const batch = engine.newBatch()
  batch.put(ColumnFamily.Default, dataKey(Buffer.from(key)), Buffer.from(stored))
  engine.write(batch, { sync: false })
}

function ask(kind: RawKind, fields: Partial<RawRequest>): Promise<RawResponse> {
  return new Promise((resolve) => {
    const request = new RawRequest(kind, { respond: (_, response) => resolve(response) }, 1)
    reads.read(Object.assign(request, fields), REGION)
  })
}

/** A read whose sink has the room that the test says. */
function askHalting(room: () => SinkRoom, key: string): Promise<RawResponse> {
  return new Promise((resolve) => {
    const sink = { respond: (_: RawRequest, response: RawResponse) => resolve(response), room }
    const request = new RawRequest(RawKind.Get, sink, 1)
    reads.read(Object.assign(request, { key: Buffer.from(key) }), REGION)
  })
}

function get(key: string): Promise<RawResponse> {
  return ask(RawKind.Get, { key: Buffer.from(key) })
}

async function scan(from: string, to: string, fields: Partial<RawRequest> = {}): Promise<string> {
  const range = { key: Buffer.from(from), endKey: Buffer.from(to), limit: 100 }
  const { pairs } = await ask(RawKind.Scan, { ...range, ...fields })
  return pairs.join(' ')
}

describe('what is told of the traffic of a region', () => {
  it('counts the keys that were asked for, and the bytes of the answers', async () => {
    const keys = ['c', 'x', 'd'].map((key) => Buffer.from(key))
    const all = [get('b'), get('x'), ask(RawKind.BatchGet, { keys, regionId: 7 })]
    reads.flush()
    await Promise.all(all)
    expect(counted).toEqual([
      [0, 1, 2],
      [0, 1, 0],
      [7, 3, 6],
    ])
    counted.length = 0
    expect(await scan('b', 'e', { regionId: 7 })).toBe('b b1 c c1 d d1')
    expect(counted).toEqual([[7, 3, 9]])
  })

  it('counts nothing for a read that failed', async () => {
    const broken = () => {
      throw new Error('unreadable')
    }
    reads = openReads({ ...watched(engine), getMany: broken })
    const answer = ask(RawKind.Get, { key: Buffer.from('b'), regionId: 7 })
    reads.flush()
    expect((await answer).error).toContain('unreadable')
    expect(counted).toEqual([[7, 0, 0]])
  })
})

describe('the reads of a round', () => {
  it('are answered together, each with its own', async () => {
    const keys = ['c', 'x', 'd'].map((key) => Buffer.from(key))
    const all = [get('b'), ask(RawKind.BatchGet, { keys }), get('x'), get('e')]
    reads.flush()
    const [b, batch, x, e] = await Promise.all(all)
    expect(b!.value?.toString()).toBe('b1')
    expect(batch!.pairs.map(String)).toEqual(['c', 'c1', 'd', 'd1'])
    expect(x!.value).toBeUndefined()
    expect(e!.value?.toString()).toBe('e1')
    expect(released).toBe(4)
  })

  it('a value that cannot be read is an error of its reader alone', async () => {
    store('c', 'from the future\x01')
    const all = [get('b'), get('c'), get('d')]
    reads.flush()
    const [b, c, d] = await Promise.all(all)
    expect(c!.error).toContain('unknown flags')
    expect([b!.value?.toString(), d!.value?.toString()]).toEqual(['b1', 'd1'])
    expect(released).toBe(3)
  })

  it('are given back when their round will not end', async () => {
    const all = [get('b'), get('c')]
    const waiting = reads.takeWaiting()
    expect(waiting.length).toBe(2)
    reads.flush()
    expect(released).toBe(0)
    const later = get('d')
    reads.flush()
    expect((await later).value?.toString()).toBe('d1')
    expect(all.length).toBe(2)
  })

  it('scans stay within the region, both ways', async () => {
    expect(await scan('', '')).toBe('b b1 c c1 d d1 e e1')
    expect(await scan('c', 'e')).toBe('c c1 d d1')
    expect(await scan('c', 'z', { limit: 2 })).toBe('c c1 d d1')
    expect(await scan('c', 'c')).toBe('')
    expect(await scan('c', 'z', { limit: 0 })).toBe('')
    expect(await scan('', '', { reverse: true, keyOnly: true })).toBe('e  d  c  b ')
    expect(await scan('e', 'c', { reverse: true })).toBe('d d1 c c1')
    expect(reads.scansRunning).toBe(0)
  })
})

describe('reads of large values', () => {
  const MOST = SLICE_BYTES + 1_000_001

  it('are answered over several turns, none of which reads more than a slice', async () => {
    const keys = storeLarge(60, 1_000_000)
    const small = get('b')
    const all = keys.map((key) => ask(RawKind.Get, { key }))
    reads.flush()
    expect(calls.length).toBe(1)
    expect((await small).value?.toString()).toBe('b1')
    expect(runTurns()).toBeGreaterThan(8)
    for (const { value } of await Promise.all(all)) expect(value?.length).toBe(1_000_000)
    expect(Math.max(...calls.map(({ bytes }) => bytes))).toBeLessThanOrEqual(MOST)
    expect(released).toBe(61)
  })

  it('let later small reads go first', async () => {
    const keys = storeLarge(60, 1_000_000)
    const all = keys.map((key) => ask(RawKind.Get, { key }))
    reads.flush()
    turns.shift()!()
    const small = get('e')
    reads.flush()
    expect((await small).value?.toString()).toBe('e1')
    expect(released).toBeLessThan(30)
    runTurns()
    await Promise.all(all)
  })

  it('of a batch are one answer, in order, with what is missing left out', async () => {
    const keys = storeLarge(20, 1_000_000)
    const asked = [...keys, Buffer.from('nothing'), keys[0]!].reverse()
    const answer = ask(RawKind.BatchGet, { keys: asked })
    reads.flush()
    runTurns()
    const { pairs } = await answer
    const found = asked.filter((key) => key.toString() !== 'nothing')
    expect(pairs.filter((_, i) => i % 2 === 0)).toEqual(found)
    expect(pairs.filter((_, i) => i % 2 === 1).every((value) => value.length === 1_000_000)).toBe(
      true,
    )
    expect(Math.max(...calls.map(({ bytes }) => bytes))).toBeLessThanOrEqual(MOST)
  })

  it('an answer that would be too large is an error of that batch, found out early', async () => {
    const key = storeLarge(1, 4_000_000)[0]!
    const answer = ask(RawKind.BatchGet, { keys: Array.from({ length: 400 }, () => key) })
    const other = get('b')
    reads.flush()
    runTurns()
    expect((await answer).error).toBe(`${GET_ANSWER_TOO_LARGE} 48 MiB: ask for fewer keys`)
    expect((await other).value?.toString()).toBe('b1')
    expect(calls.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(72_000_000)
    expect(released).toBe(2)
  })

  it('half-read batches are one at a time', async () => {
    const keys = storeLarge(30, 3_000_000)
    const pairs = Array.from({ length: 15 }, (_, i) => [keys[i]!, keys[29 - i]!])
    const answered: number[] = []
    const all = pairs.map((each, i) => {
      const answer = ask(RawKind.BatchGet, { keys: each })
      return answer.then((response) => {
        answered.push(i)
        return response
      })
    })
    reads.flush()
    runTurns()
    for (const { pairs: found } of await Promise.all(all)) expect(found.length).toBe(4)
    expect(answered).toEqual(pairs.map((_, i) => i))
  })
})

describe('many keys', () => {
  it('are read in calls of no more than a slice', async () => {
    const keys = storeLarge(SLICE_KEYS * 3, 1)
    const all = [
      ...keys.slice(0, SLICE_KEYS * 2).map((key) => ask(RawKind.Get, { key })),
      ask(RawKind.BatchGet, { keys }),
      get('b'),
    ]
    reads.flush()
    runTurns()
    const answers = await Promise.all(all)
    expect(answers.slice(0, -2).every(({ value }) => value?.length === 1)).toBe(true)
    expect(answers.at(-2)!.pairs.length).toBe(keys.length * 2)
    expect(answers.at(-1)!.value?.toString()).toBe('b1')
    expect(Math.max(...calls.map((call) => call.keys))).toBe(SLICE_KEYS)
  })
})

describe('reads that wait', () => {
  it('are refused when the region has changed, be they half read', async () => {
    const keys = storeLarge(60, 1_000_000)
    const gets = keys.slice(0, 30).map((key) => ask(RawKind.Get, { key }))
    const batch = ask(RawKind.BatchGet, { keys: keys.slice(30) })
    reads.flush()
    current = false
    runTurns()
    const errors = (await Promise.all(gets)).map(({ regionError }) => regionError?.code)
    expect(errors.filter((code) => code === 'StaleCommand').length).toBeGreaterThan(20)
    expect((await batch).regionError?.code).toBe('StaleCommand')
    expect(released).toBe(31)
  })

  it('are given back when the store ends', async () => {
    const keys = storeLarge(30, 1_000_000)
    for (const key of keys) void ask(RawKind.Get, { key })
    void ask(RawKind.BatchGet, { keys })
    void askHalting(() => SinkRoom.Full, 'b')
    reads.flush()
    turns.shift()!()
    const answered = released
    expect(answered).toBeGreaterThan(0)
    expect(reads.takeWaiting().length).toBe(32 - answered)
    expect(runTurns()).toBeLessThan(2)
    for (const look of looks) look()
    expect(released).toBe(answered)
  })

  it('for a client that does not take its answers are held, and no other', async () => {
    let room: SinkRoom = SinkRoom.Full
    let done = false
    const held = askHalting(() => room, 'b').finally(() => {
      done = true
    })
    const other = get('c')
    reads.flush()
    await other
    looks.shift()!()
    runTurns()
    expect(done).toBe(false)
    room = SinkRoom.Free
    looks.shift()!()
    runTurns()
    expect((await held).value?.toString()).toBe('b1')
    expect(looks).toEqual([])
  })

  it('are refused when too many are held, or nobody wants their answer any more', async () => {
    for (let i = 0; i < READS_HELD_MAX; i++) void askHalting(() => SinkRoom.Full, 'b')
    const tooMany = await askHalting(() => SinkRoom.Full, 'b')
    expect(tooMany.regionError?.code).toBe('ServerIsBusy')
    await askHalting(() => SinkRoom.Gone, 'b')
    expect(calls).toEqual([])
    expect(released).toBe(2)
  })

  it('a scan of more rows than an answer may hold is an error, unless it asked for fewer', async () => {
    storeLarge(SCAN_ANSWER_ROWS_MAX + 1, 0)
    const rows = async (limit: number): Promise<number | string> => {
      const fields = { key: Buffer.from('c'), endKey: Buffer.from('d'), keyOnly: true, limit }
      const { error, pairs } = await ask(RawKind.Scan, fields)
      return error || pairs.length / 2
    }
    expect(await rows(SCAN_ANSWER_ROWS_MAX)).toBe(SCAN_ANSWER_ROWS_MAX)
    expect(await rows(0xffff_ffff)).toBe(`${SCAN_ANSWER_TOO_LARGE} 65536 rows: ask for fewer rows`)
  })

  it('scans run a few at a time', async () => {
    const ends: (() => void)[] = []
    let running = 0
    let most = 0
    const inner = watched(engine)
    reads = openReads({
      ...inner,
      scan: async (cf, options) => {
        most = Math.max(most, ++running)
        await new Promise<void>((resolve) => ends.push(resolve))
        running--
        return inner.scan(cf, options)
      },
    })
    const all = Array.from({ length: 30 }, () => scan('', ''))
    for (let ended = 0; ended < 30; ended++) {
      await expect.poll(() => ends.length).toBeGreaterThan(0)
      ends.shift()!()
    }
    expect(new Set(await Promise.all(all))).toEqual(new Set(['b b1 c c1 d d1 e e1']))
    expect(most).toBe(SCANS_RUNNING_MAX)
    expect(reads.scansRunning).toBe(0)
  })
})
