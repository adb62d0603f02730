import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PolyraftError } from '../../src/base/errors.ts'
import {
  type CommandVisitor,
  commandEpochVersion,
  deleteBytes,
  putBytes,
  readCommand,
} from '../../src/command/command.ts'
import { RequestBuilder } from '../../src/command/request-builder.ts'
import { decodeStoredValue } from '../../src/command/stored-value.ts'

type Op = { cf: number; key: Buffer; value: Buffer | undefined }

class Collector implements CommandVisitor {
  readonly ops: Op[] = []

  put(cf: number, key: Buffer, value: Buffer): void {
    this.ops.push({ cf, key, value })
  }

  delete(cf: number, key: Buffer): void {
    this.ops.push({ cf, key, value: undefined })
  }
}

function build(epochVersion: number, ops: readonly Op[], builder = new RequestBuilder()): Buffer {
  builder.begin(epochVersion)
  for (const op of ops) {
    if (op.value === undefined) builder.delete(op.cf, op.key)
    else builder.put(op.cf, op.key, op.value)
  }
  return builder.take()
}

function collect(data: Buffer): Op[] {
  const collector = new Collector()
  expect(readCommand(data, collector)).toBe(collector.ops.length)
  return collector.ops
}

const bytes = (maxLength: number) =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array.buffer, 0, array.length))
const op: fc.Arbitrary<Op> = fc.record({
  cf: fc.integer({ min: 0, max: 2 }),
  key: bytes(40),
  value: fc.option(bytes(300), { nil: undefined }),
})
const ops = fc.array(op, { minLength: 1, maxLength: 30 })

describe('data command', () => {
  it('reads back what was built, with keys and values in the form of the engine', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), ops, (epochVersion, wanted) => {
        const data = build(epochVersion, wanted)
        expect(commandEpochVersion(data)).toBe(epochVersion)
        const found = collect(data)
        expect(found).toHaveLength(wanted.length)
        found.forEach((each, i) => {
          expect(each.cf).toBe(wanted[i]!.cf)
          expect(each.key.toString('latin1')).toBe(`z${wanted[i]!.key.toString('latin1')}`)
          const value = each.value && decodeStoredValue(each.value)
          expect(value).toEqual(wanted[i]!.value)
        })
      }),
    )
  })

  it('has the sizes that putBytes and deleteBytes tell', () => {
    fc.assert(
      fc.property(ops, (wanted) => {
        let expected = 14
        for (const { key, value } of wanted) {
          expected += value ? putBytes(key.length, value.length) : deleteBytes(key.length)
        }
        expect(build(1, wanted).length).toBe(expected)
      }),
    )
  })

  it('has the bytes that its grammar says', () => {
    const put = { cf: 2, key: Buffer.from('ab'), value: Buffer.from('v') }
    const data = build(0x0102, [put, { cf: 0, key: Buffer.from('k'), value: undefined }])
    const header = '01' + '01' + '0201000000000000' + '02000000'
    const encodedPut = `01020300${'02000000'}7a61627600`
    expect(data.toString('hex')).toBe(`${header}${encodedPut}02000200${'7a6b'}`)
  })

  it('hands out views of the entry, not copies', () => {
    const data = build(1, [{ cf: 0, key: Buffer.from('k'), value: Buffer.from('v') }])
    expect(collect(data)[0]!.key.buffer).toBe(data.buffer)
    expect(collect(data)[0]!.value!.buffer).toBe(data.buffer)
  })

  it('takes malformed bytes for corruption and nothing else', () => {
    const mutation = fc.record({ at: fc.nat(), to: fc.integer({ min: 0, max: 255 }) })
    fc.assert(
      fc.property(ops, fc.array(mutation, { maxLength: 4 }), fc.nat(), (wanted, changes, cut) => {
        const data = Buffer.from(build(7, wanted))
        for (const { at, to } of changes) data[at % data.length] = to
        expectReadOrCorruption(data)
        expectReadOrCorruption(data.subarray(0, cut % data.length))
      }),
    )
    fc.assert(fc.property(bytes(200), expectReadOrCorruption))
  })

  it('finds every truncation', () => {
    const put = { cf: 1, key: Buffer.from('key'), value: Buffer.from('value') }
    const data = build(3, [put, { cf: 0, key: Buffer.from('k'), value: undefined }, put])
    const whole = collect(data)
    for (let length = 0; length < data.length; length++) {
      const found = expectCorruption(data.subarray(0, length))
      // What was handed out before the cut was whole.
      expect(found).toEqual(whole.slice(0, found.length))
    }
    expectCorruption(Buffer.concat([data, Buffer.from([0])]))
  })

  it.each([
    ['an unknown kind', 0, 2, 'command kind 2'],
    ['an unknown format', 1, 9, 'format 9'],
    ['an unknown operation', 14, 3, 'operation 3'],
    ["the store's own column family", 15, 3, 'column family 3'],
    ['an empty key', 16, 0, 'a key of 0 bytes'],
    ['a key without its prefix', 22, 0x61, 'data prefix'],
    ['a value without flags', 18, 0, 'a value of 0 bytes'],
    ['fewer operations than bytes', 10, 0, 'behind the last operation'],
    ['more operations than bytes', 10, 2, 'an operation cut short'],
  ])('refuses %s', (_, at, to, message) => {
    const data = build(3, [{ cf: 0, key: Buffer.from('k'), value: Buffer.alloc(0) }])
    data[at] = to
    expect(() => readCommand(data, new Collector())).toThrow(message)
  })

  it('refuses an epoch version that is no safe integer', () => {
    const data = build(3, [{ cf: 0, key: Buffer.from('k'), value: undefined }])
    data[9] = 0x20
    expect(() => commandEpochVersion(data)).toThrow('above 2^53-1')
    expectCorruption(data.subarray(0, 13))
  })
})

function expectCorruption(data: Buffer): Op[] {
  const collector = new Collector()
  expect(() => {
    commandEpochVersion(data)
    readCommand(data, collector)
  }).toThrow(expect.objectContaining({ code: 'Corruption' }))
  return collector.ops
}

/** Whatever was read lay within the bytes; whatever was not is Corruption. */
function expectReadOrCorruption(data: Buffer): void {
  const collector = new Collector()
  try {
    commandEpochVersion(data)
    readCommand(data, collector)
    const sizes = collector.ops.map((each) =>
      each.value ? 8 + each.key.length + each.value.length : 4 + each.key.length,
    )
    expect(sizes.reduce((sum, size) => sum + size, 14)).toBe(data.length)
  } catch (error) {
    expect(error).toBeInstanceOf(PolyraftError)
    expect((error as PolyraftError).code).toBe('Corruption')
  }
}
