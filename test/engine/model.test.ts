/** Random histories against a plain Map per family: every read agrees, on both adapters. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openMemoryEngine } from '../../src/engine/memory-engine.ts'
import { ColumnFamily, type KvEngine, type ScanOptions } from '../../src/engine/port.ts'
import { openRocksDb } from '../../src/engine/rocksdb-engine.ts'
import { temporaryDir } from './temporary.ts'

type Rows = Map<string, string>

/** Keys and values as latin1 text, so that a Map can hold them. */
const bytes = (text: string) => Buffer.from(text, 'latin1')
const latin1 = (buffer: Buffer | undefined | null) => buffer?.toString('latin1')

class Model {
  readonly families: Rows[] = [new Map(), new Map(), new Map(), new Map()]

  copy(): Model {
    const model = new Model()
    this.families.forEach((rows, cf) => {
      model.families[cf] = new Map(rows)
    })
    return model
  }

  scan(cf: number, options: ScanOptions): { rows: string[]; complete: boolean } {
    const inRange = [...this.families[cf]!].filter(
      ([key]) => key >= options.start.toString('latin1') && key < options.end.toString('latin1'),
    )
    inRange.sort(([a], [b]) => (a < b ? -1 : 1))
    if (options.reverse) inRange.reverse()
    const rows: string[] = []
    let size = 0
    const inverted = Buffer.compare(options.start, options.end) >= 0
    if (options.limit === 0) return { rows, complete: inverted }
    for (const [key, found] of inRange) {
      const value = options.keysOnly ? '' : found
      rows.push(key, value)
      size += key.length + value.length
      if (rows.length / 2 === options.limit || size >= options.bytesMax) {
        return { rows, complete: false }
      }
    }
    return { rows, complete: true }
  }
}

const key = fc
  .array(fc.constantFrom(0, 1, 0x61, 0x62, 0x7f, 0x80, 0xff), { minLength: 1, maxLength: 3 })
  .map((codes) => String.fromCharCode(...codes))
const value = fc.string({ maxLength: 12 })
const cf = fc.constantFrom(...Object.values(ColumnFamily))

const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      sync: fc.boolean(),
      operations: fc.array(fc.record({ cf, key, value: fc.option(value) }), { maxLength: 8 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('deleteRange' as const), cf, start: key, end: key }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('getMany' as const),
      cf,
      keys: fc.array(key, { maxLength: 6 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('scan' as const),
      cf,
      start: fc.oneof(key, fc.constant('')),
      end: key,
      limit: fc.constantFrom(0, 1, 2, 5, 1000),
      bytesMax: fc.constantFrom(0, 1, 10, 50, 1e9),
      reverse: fc.boolean(),
      keysOnly: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('sync' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
)
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never
const history = fc.array(action, { minLength: 5, maxLength: 40 })

/** What a restart does to the engine, and to what the model may remember. */
interface Subject {
  engine: KvEngine
  restart(synced: Model, current: Model): Promise<Model>
}

async function step(subject: Subject, model: Model, next: Action): Promise<void> {
  const { engine } = subject
  switch (next.kind) {
    case 'write': {
      const batch = engine.newBatch()
      for (const operation of next.operations) {
        const rows = model.families[operation.cf]!
        if (operation.value === null) {
          batch.delete(operation.cf, bytes(operation.key))
          rows.delete(operation.key)
        } else {
          batch.put(operation.cf, bytes(operation.key), Buffer.from(operation.value))
          rows.set(operation.key, Buffer.from(operation.value).toString('latin1'))
        }
      }
      engine.write(batch, { sync: next.sync })
      return
    }
    case 'deleteRange': {
      engine.deleteRange(next.cf, bytes(next.start), bytes(next.end))
      const rows = model.families[next.cf]!
      for (const key of rows.keys()) if (key >= next.start && key < next.end) rows.delete(key)
      return
    }
    case 'getMany': {
      const found = engine.getMany(next.cf, next.keys.map(bytes)).map(latin1)
      expect(found).toEqual(next.keys.map((key) => model.families[next.cf]!.get(key)))
      return
    }
    case 'scan': {
      const options = { ...next, start: bytes(next.start), end: bytes(next.end) }
      const expected = model.scan(next.cf, options)
      for (const result of [
        await engine.scan(next.cf, options),
        engine.scanSync(next.cf, options),
      ]) {
        expect({ rows: result.rows.map(latin1), complete: result.complete }).toEqual(expected)
      }
      return
    }
    case 'sync':
      engine.sync()
      return
    case 'restart':
      return
  }
}

async function run(subject: Subject, actions: readonly Action[]): Promise<void> {
  let model = new Model()
  let synced = new Model()
  for (const next of actions) {
    await step(subject, model, next)
    const isBarrier = next.kind === 'sync' || (next.kind === 'write' && next.sync)
    if (isBarrier) synced = model.copy()
    if (next.kind === 'restart') model = await subject.restart(synced.copy(), model)
  }
  await subject.engine.close()
}

describe('random histories', () => {
  it('memory engine, where a restart is a power failure', async () => {
    await fc.assert(
      fc.asyncProperty(history, (actions) => {
        const memory = openMemoryEngine()
        const subject: Subject = {
          engine: memory,
          restart: async (synced) => {
            memory.crash()
            return synced
          },
        }
        return run(subject, actions)
      }),
      { numRuns: 300 },
    )
  })

  it('RocksDB, where a restart is close and open', async () => {
    await fc.assert(
      fc.asyncProperty(history, async (actions) => {
        const options = { dir: temporaryDir(), writeBufferBytes: 64 * 1024 }
        const subject: Subject = {
          engine: await openRocksDb(options),
          restart: async (_synced, current) => {
            await subject.engine.close()
            subject.engine = await openRocksDb(options)
            return current
          },
        }
        return run(subject, actions)
      }),
      { numRuns: 40 },
    )
  })
})
