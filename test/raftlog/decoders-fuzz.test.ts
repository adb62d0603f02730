/**
 * Every decoder of what is on disk, on random and on mutated bytes: the only ways out are the right
 * data, Corruption and DataDirMismatch. Checksums are made to fit where that lets the fuzz deeper in.
 */
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { crc32c } from '../../src/base/crc32c.ts'
import { PolyraftError } from '../../src/base/errors.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import { decodeBlock } from '../../src/raftlog/block-items.ts'
import {
  BLOCK_HEADER_BYTES,
  decodeBlockHeader,
  decodeSegmentHeader,
  encodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  stampBlock,
  writeBlockHeader,
} from '../../src/raftlog/format.ts'
import { scanLog } from '../../src/raftlog/scan.ts'
import { DIR, entries, HARD, open, readAll, shown } from './harness.ts'

const RUNS = Number(process.env.FUZZ_RUNS ?? 1500)
const bytesOf = (maxLength: number) =>
  fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes))

/** What a decoder may throw. */
function mustBeExpected(error: unknown): void {
  if (!(error instanceof PolyraftError)) throw error
  expect(['Corruption', 'DataDirMismatch']).toContain(error.code)
}

/** A block around `meta` whose checksums all fit. */
function blockOf(data: Buffer, meta: Buffer): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES + BLOCK_HEADER_BYTES + data.length + meta.length)
  const start = SEGMENT_HEADER_BYTES
  data.copy(bytes, start + BLOCK_HEADER_BYTES)
  meta.copy(bytes, start + BLOCK_HEADER_BYTES + data.length)
  const sizes = { metaCrc: crc32c(meta), dataBytes: data.length, metaBytes: meta.length }
  writeBlockHeader(bytes, start, { ...sizes, sequence: 1, number: 1, durable: 0 })
  stampBlock(bytes, start, 1, start, 0)
  return bytes
}

/** Varints and small bytes: what items are made of, in no order. */
const metaBytes = fc
  .array(
    fc.oneof(
      fc.integer({ min: 0, max: 8 }).map((byte) => [byte]),
      fc.integer({ min: 0, max: 255 }).map((byte) => [byte]),
      fc.constant([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
      fc.constant([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x08]),
      fc.constant([0xff, 0xff, 0xff, 0x07]),
    ),
    { maxLength: 24 },
  )
  .map((parts) => Buffer.from(parts.flat()))

describe('decoders', () => {
  it('refuse random headers, also with a checksum that fits', () => {
    fc.assert(
      fc.property(bytesOf(120), fc.boolean(), (bytes, fits) => {
        if (fits && bytes.length >= SEGMENT_HEADER_BYTES) {
          bytes.write('polyraft')
          bytes.writeUInt32LE(crc32c(bytes.subarray(0, 40)), 40)
        }
        const header = decodeSegmentHeader(bytes)
        if (header !== undefined) {
          expect(fits && Object.values(header).every(Number.isSafeInteger)).toBe(true)
        }
        if (fits && bytes.length >= BLOCK_HEADER_BYTES) {
          bytes.writeUInt32LE(0xb10c_5afe, 0)
          stampBlock(bytes, 0, 1, 0, 0)
        }
        const block = decodeBlockHeader(bytes, 0, 1)
        if (block !== undefined) expect(Object.values(block).every(Number.isSafeInteger)).toBe(true)
      }),
      { numRuns: RUNS },
    )
  })

  it('refuse any meta that is not what an encoder writes, quickly', () => {
    fc.assert(
      fc.property(metaBytes, bytesOf(40), (meta, data) => {
        const bytes = blockOf(data, meta)
        const header = decodeBlockHeader(bytes, SEGMENT_HEADER_BYTES, 1)!
        try {
          const items = decodeBlock(bytes, SEGMENT_HEADER_BYTES, header)
          if (typeof items === 'string') return
          for (const item of items) {
            expect(item.terms).toHaveLength(item.lengths.length)
            expect(item.offsets).toHaveLength(item.lengths.length)
          }
        } catch (error) {
          mustBeExpected(error)
        }
      }),
      { numRuns: RUNS * 4 },
    )
  })

  it('open or refuse a log whose only block has fitting checksums around any meta', async () => {
    const header = encodeSegmentHeader({ version: 1, stream: 0, id: 1, run: 1, firstBlock: 1 })
    await fc.assert(
      fc.asyncProperty(metaBytes, async (meta) => {
        const bytes = blockOf(Buffer.alloc(0), meta)
        header.copy(bytes)
        const disk = new MemoryFileSystem()
        disk.plant(join(DIR, '000-000000000001.log'), bytes)
        scanLog(disk, DIR)
        await open({ fs: disk }).then(({ log }) => log.close(), mustBeExpected)
      }),
      { numRuns: RUNS },
    )
  })
})

describe('a mutated log', () => {
  let disk: MemoryFileSystem
  /** By region: what it holds after each of its writes. */
  let whole: Map<number, string>

  beforeAll(async () => {
    disk = new MemoryFileSystem()
    const { log } = await open({ fs: disk, segmentBytes: 4096 })
    for (const id of [1, 2, 3]) log.create(id, 0, 0, HARD)
    for (let index = 1; index <= 14; index++) {
      for (const regionId of [1, 2, 3]) {
        const one = entries(index, index, 1, 150)
        log.write({ regionId, readyNumber: index, entries: one, hardState: undefined })
      }
      log.flush()
    }
    whole = new Map()
    for (const id of log.regions()) whole.set(id, shown(await readAll(log, id)))
    await log.close()
  })

  const mutation = fc.record({
    file: fc.nat(2),
    at: fc.nat(4095),
    kind: fc.constantFrom('flip', 'byte', 'zero', 'cut', 'copy', 'grow'),
    value: fc.nat(255),
    length: fc.integer({ min: 1, max: 600 }),
    from: fc.nat(4095),
  })

  it('opens with a prefix of every region, or is refused; a scan goes through either way', async () => {
    let opened = 0
    let refused = 0
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 3 }), async (mutations) => {
        const copy = disk.clone()
        const names = copy.list(DIR)
        for (const one of mutations) {
          const path = join(DIR, names[one.file % names.length]!)
          copy.plant(path, mutated(copy.bytes(path), one))
        }
        try {
          scanLog(copy, DIR)
          const { log } = await open({ fs: copy, segmentBytes: 4096 })
          opened++
          for (const id of log.regions()) {
            const found = shown(await readAll(log, id))
            expect(`${whole.get(id)} `.startsWith(`${found} `) || found === '').toBe(true)
          }
          await log.close()
        } catch (error) {
          mustBeExpected(error)
          refused++
        }
      }),
      { numRuns: RUNS },
    )
    expect(opened).toBeGreaterThan(RUNS / 50)
    expect(refused).toBeGreaterThan(RUNS / 3)
  })
})

interface Mutation {
  readonly at: number
  readonly kind: 'flip' | 'byte' | 'zero' | 'cut' | 'copy' | 'grow'
  readonly value: number
  readonly length: number
  readonly from: number
}

function mutated(bytes: Buffer, one: Mutation): Buffer {
  const at = one.at % Math.max(1, bytes.length)
  switch (one.kind) {
    case 'flip':
      bytes[at]! ^= 1 << (one.value % 8)
      return bytes
    case 'byte':
      bytes[at] = one.value
      return bytes
    case 'zero':
      return bytes.fill(0, at, Math.min(bytes.length, at + one.length))
    case 'cut':
      return bytes.subarray(0, at)
    case 'copy':
      // A block or a piece of one in another place: its checksums fit, its place does not.
      bytes.copy(bytes, at, one.from % bytes.length, (one.from % bytes.length) + one.length)
      return bytes
    case 'grow':
      return Buffer.concat([bytes, Buffer.alloc(one.length, one.value)])
  }
}
