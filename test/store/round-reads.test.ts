import { beforeEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { type MemoryEngine, openMemoryEngine } from '../../src/engine/memory-engine.ts'
import { ColumnFamily } from '../../src/engine/port.ts'
import { RawKind, RawRequest, type RawResponse } from '../../src/protocol/raw.ts'
import { dataKey } from '../../src/region/keys.ts'
import type { Region } from '../../src/region/region.ts'
import { RoundReads } from '../../src/store/round-reads.ts'

const REGION: Region = {
  id: 1,
  startKey: Buffer.from('b'),
  endKey: Buffer.from('f'),
  epoch: { confVer: 1, version: 1 },
  peers: [],
}

let engine: MemoryEngine
let reads: RoundReads
let released: number

beforeEach(() => {
  engine = openMemoryEngine()
  released = 0
  reads = new RoundReads(engine, silentLogger, () => released++)
  for (const key of 'abcdefg') store(key, `${key}1\0`)
})

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

function get(key: string): Promise<RawResponse> {
  return ask(RawKind.Get, { key: Buffer.from(key) })
}

async function scan(from: string, to: string, fields: Partial<RawRequest> = {}): Promise<string> {
  const range = { key: Buffer.from(from), endKey: Buffer.from(to), limit: 100 }
  const { pairs } = await ask(RawKind.Scan, { ...range, ...fields })
  return pairs.join(' ')
}

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
