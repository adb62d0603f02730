import { describe, expect, it } from 'vitest'
import { ENTRY_BYTES_MAX, KIB, MIB } from '../../src/base/limits.ts'
import { putBytes, readCommand } from '../../src/command/command.ts'
import { RequestBuilder } from '../../src/command/request-builder.ts'

const KEY = Buffer.from('key')

function begun(entryBytesMax: number = ENTRY_BYTES_MAX): RequestBuilder {
  const builder = new RequestBuilder(entryBytesMax)
  builder.begin(1)
  return builder
}

function keysOf(data: Buffer): string[] {
  const keys: string[] = []
  readCommand(data, {
    put: (_, key) => keys.push(key.toString()),
    delete: (_, key) => keys.push(`-${key}`),
  })
  return keys
}

describe('RequestBuilder', () => {
  it('collects operations of a round into one entry, in order', () => {
    const builder = begun()
    builder.put(0, Buffer.from('a'), Buffer.from('1'))
    builder.delete(0, Buffer.from('b'))
    builder.put(0, Buffer.from('a'), Buffer.from('2'))
    expect(builder.ops).toBe(3)
    const bytes = builder.bytes
    const data = builder.take()
    expect(data.length).toBe(bytes)
    expect(keysOf(data)).toEqual(['za', '-zb', 'za'])
    expect(builder.ops).toBe(0)
    expect(builder.open).toBe(false)
  })

  it('gives fresh memory: a later entry never writes into an earlier one', () => {
    const builder = new RequestBuilder()
    const taken: Buffer[] = []
    for (let i = 0; i < 50; i++) {
      builder.begin(1)
      for (let op = 0; op <= i; op++) builder.put(0, Buffer.from(`k${i}`), Buffer.alloc(i * 9, i))
      taken.push(builder.take())
    }
    taken.forEach((data, i) => {
      expect(keysOf(data)).toEqual(new Array(i + 1).fill(`zk${i}`))
    })
  })

  it('keeps little memory beyond an entry alive', () => {
    const builder = new RequestBuilder()
    for (const ops of [100, 1, 40, 40, 3]) {
      builder.begin(1)
      for (let i = 0; i < ops; i++) builder.put(0, KEY, Buffer.alloc(256))
      const data = builder.take()
      if (data.length < 4 * KIB) continue // from the pool of small buffers
      expect(data.buffer.byteLength).toBeLessThanOrEqual(data.length * 1.34)
    }
  })

  it('is full above 256 operations', () => {
    const builder = begun()
    for (let i = 0; i < 256; i++) {
      expect(builder.canAdd(putBytes(3, 1))).toBe(true)
      builder.put(0, KEY, Buffer.from('v'))
    }
    expect(builder.full).toBe(false)
    builder.put(0, KEY, Buffer.from('v'))
    expect(builder.full).toBe(true)
    expect(builder.canAdd(putBytes(3, 1))).toBe(false)
  })

  it('is full above 40% of the entry limit', () => {
    const builder = begun(10 * KIB)
    builder.put(0, KEY, Buffer.alloc(4 * KIB - 100))
    expect(builder.full).toBe(false)
    builder.put(0, KEY, Buffer.alloc(100))
    expect(builder.full).toBe(true)
  })

  it('batches no request above 20% of the entry limit, but takes it alone', () => {
    const large = putBytes(3, 2.5 * KIB)
    const builder = begun(10 * KIB)
    expect(builder.canAdd(large)).toBe(true)
    builder.put(0, KEY, Buffer.from('v'))
    expect(builder.canAdd(large)).toBe(false)
    expect(builder.canAdd(putBytes(3, 1.5 * KIB))).toBe(true)
  })

  it('batches no request that would bring the entry above 1 MiB', () => {
    const builder = begun()
    builder.put(0, KEY, Buffer.alloc(MIB - 500))
    expect(builder.canAdd(putBytes(3, 100))).toBe(true)
    expect(builder.canAdd(putBytes(3, 600))).toBe(false)
  })

  it('tells a request that no entry can hold', () => {
    const builder = begun(KIB)
    expect(builder.canAdd(KIB - 14)).toBe(true)
    expect(builder.canAdd(KIB - 13)).toBe(false)
    expect(builder.fitsEntry(KIB - 13)).toBe(false)
    expect(() => builder.put(0, KEY, Buffer.alloc(KIB))).toThrow('canAdd')
  })

  it('makes an entry of no operations from a batch of no keys', () => {
    expect(keysOf(begun().take())).toEqual([])
  })

  it('holds its callers to the order of its calls', () => {
    const builder = new RequestBuilder()
    expect(() => builder.put(0, KEY, KEY)).toThrow('begin comes before')
    expect(() => builder.take()).toThrow('begin comes before')
    builder.begin(1)
    expect(() => builder.begin(1)).toThrow('taken before')
    expect(() => builder.put(3, KEY, KEY)).toThrow('column family')
  })
})
