/** Random histories with power losses, over changing numbers of streams, against the model. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { seededRandom } from '../../src/base/clock.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import { DIR, entry, ManualSink, type Opened, open } from './harness.ts'
import { lastIndex, Model, observed, shownRegion } from './model.ts'

const REGIONS = [1, 2, 3, 4, 5]

type Step =
  | { kind: 'write'; region: number; back: number; count: number; size: number; hard: boolean }
  | { kind: 'compact'; region: number; keep: number }
  | { kind: 'remove' | 'create' | 'evict'; region: number }
  | { kind: 'flush' }
  | { kind: 'commit' | 'write-only'; stream: number }
  | { kind: 'crash'; seed: number; streams: number; clean: boolean }

const region = fc.constantFrom(...REGIONS)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      region,
      back: fc.constantFrom(0, 0, 0, 1, 3),
      count: fc.integer({ min: 0, max: 5 }),
      size: fc.constantFrom(0, 1, 40, 300, 1500, 5000),
      hard: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('compact' as const),
      region,
      keep: fc.integer({ min: 0, max: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('remove', 'create', 'evict'), region }),
  },
  { weight: 5, arbitrary: fc.constant({ kind: 'flush' as const }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('commit', 'write-only'),
      stream: fc.integer({ min: 0, max: 2 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('crash' as const),
      seed: fc.integer(),
      streams: fc.integer({ min: 1, max: 3 }),
      clean: fc.boolean(),
    }),
  },
)

class World {
  readonly fs = new MemoryFileSystem()
  readonly model = new Model()
  sinks: ManualSink[] = []
  opened: Opened | undefined
  #term = 1
  #ready = 0
  #told = 0
  crashes = 0

  async start(streams: number): Promise<void> {
    this.sinks = []
    this.#told = 0
    this.opened = await open({
      fs: this.fs,
      writers: streams,
      segmentBytes: 4096,
      cacheBytes: 4096,
      // Old segments are emptied early, by reads that end within the step that began them.
      purgeBytes: 2 * 4096,
      scheduler: { schedule: (run) => run() },
      openSink: (at, events) => {
        const sink = new ManualSink(this.fs, at, events)
        this.sinks.push(sink)
        return sink
      },
    })
  }

  async run(one: Step): Promise<void> {
    const { log } = this.opened!
    switch (one.kind) {
      case 'write':
        this.#write(one)
        break
      case 'compact': {
        const known = this.model.regions.get(one.region)
        if (known === undefined) break
        const index = lastIndex(known) - one.keep
        if (index <= known.truncatedIndex) break
        log.compact(one.region, index)
        this.model.compact(one.region, index)
        break
      }
      case 'create': {
        const known = this.model.regions.get(one.region)
        const index = known === undefined ? 5 : lastIndex(known) + 3
        this.#create(one.region, index)
        break
      }
      case 'remove':
        if (!this.model.regions.has(one.region)) break
        log.remove(one.region)
        this.model.remove(one.region)
        break
      case 'evict':
        log.evict(one.region, Number.MAX_SAFE_INTEGER)
        break
      case 'flush':
        log.flush()
        this.model.flush()
        break
      case 'commit':
        this.sinks[one.stream]?.commit()
        this.#takePersisted()
        break
      case 'write-only':
        this.sinks[one.stream]?.write()
        break
      case 'crash':
        await this.crash(one)
        break
    }
  }

  #create(id: number, index: number): void {
    const hardState = { term: this.#term, vote: 1, commit: index }
    this.opened!.log.create(id, index, this.#term, hardState)
    this.model.create(id, index, this.#term, hardState)
  }

  #write(one: Extract<Step, { kind: 'write' }>): void {
    if (!this.model.regions.has(one.region)) this.#create(one.region, 5)
    const known = this.model.regions.get(one.region)!
    if (one.count === 0 && !one.hard) return
    const first = Math.max(known.truncatedIndex + 1, lastIndex(known) + 1 - one.back)
    if (first <= lastIndex(known)) this.#term++
    const entries = []
    for (let i = 0; i < one.count; i++) {
      entries.push(entry(first + i, this.#term, Buffer.alloc(one.size, this.#term + i)))
    }
    const hardState = one.hard
      ? { term: this.#term, vote: 1, commit: known.truncatedIndex }
      : undefined
    const readyNumber = ++this.#ready
    this.opened!.log.write({ regionId: one.region, readyNumber, entries, hardState })
    this.model.write(one.region, readyNumber, entries, hardState)
  }

  #takePersisted(): void {
    const { persisted } = this.opened!
    for (; this.#told < persisted.length; this.#told++) {
      const [id, ready] = persisted[this.#told]!
      this.model.persisted(id, ready)
    }
  }

  async crash(one: Extract<Step, { kind: 'crash' }>): Promise<void> {
    this.crashes++
    this.fs.crash(one.clean ? undefined : seededRandom(one.seed))
    await this.start(one.streams)
    for (const id of REGIONS) {
      const found = await observed(this.opened!.log, id)
      this.model.recovered(id, found === undefined ? 'absent' : shownRegion(found))
      if (found === undefined) this.model.regions.delete(id)
      else this.model.regions.set(id, { ...found, ready: 0 })
    }
  }

  /** The log in memory and the model agree now. */
  async check(): Promise<void> {
    const { log } = this.opened!
    expect(log.regions().sort()).toEqual([...this.model.regions.keys()].sort())
    for (const [id, known] of this.model.regions) {
      const found = await observed(log, id)
      expect(shownRegion(found!)).toBe(shownRegion(known))
    }
  }
}

/** What random histories found once. */
const FOUND: Step[][] = [
  // A segment of a stream that ended becomes one of another stream, with the same id: its old blocks
  // stood in the place of the new ones, which a power loss took.
  [
    { kind: 'crash', seed: 0, streams: 2, clean: false },
    { kind: 'write', region: 1, back: 0, count: 0, size: 0, hard: true },
    { kind: 'write', region: 3, back: 0, count: 3, size: 1500, hard: false },
    { kind: 'write', region: 1, back: 0, count: 1, size: 0, hard: false },
    { kind: 'write', region: 5, back: 0, count: 3, size: 1500, hard: false },
    { kind: 'write', region: 2, back: 0, count: 0, size: 0, hard: false },
    { kind: 'remove', region: 2 },
    { kind: 'flush' },
    { kind: 'commit', stream: 0 },
    { kind: 'commit', stream: 1 },
    { kind: 'crash', seed: 0, streams: 1, clean: false },
    { kind: 'remove', region: 5 },
    { kind: 'write', region: 3, back: 3, count: 1, size: 0, hard: false },
    { kind: 'flush' },
    { kind: 'write', region: 1, back: 1, count: 1, size: 0, hard: false },
    { kind: 'flush' },
    { kind: 'commit', stream: 0 },
    { kind: 'crash', seed: 0, streams: 1, clean: false },
    { kind: 'flush' },
    { kind: 'write', region: 1, back: 0, count: 1, size: 5000, hard: false },
    { kind: 'commit', stream: 0 },
    { kind: 'write', region: 1, back: 0, count: 0, size: 0, hard: true },
    { kind: 'flush' },
    { kind: 'write-only', stream: 0 },
    { kind: 'write', region: 1, back: 0, count: 0, size: 0, hard: false },
  ],
]

it('equals the model through writes, overwrites, compactions, removals and power losses', async () => {
  let crashes = 0
  let purged = 0
  let rewritten = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 300, size: 'max' }),
      async (steps) => {
        const world = new World()
        world.fs.makeDirectory(DIR)
        await world.start(1)
        for (const one of steps) await world.run(one)
        await world.check()
        rewritten += world.opened!.log.stats().raftlog_rewritten_bytes! > 0 ? 1 : 0
        purged += world.opened!.log.stats().raftlog_segments_purged!
        await world.crash({ kind: 'crash', seed: 1, streams: 2, clean: true })
        await world.check()
        crashes += world.crashes
      },
    ),
    {
      numRuns: Number(process.env.MODEL_RUNS ?? 400),
      examples: FOUND.map((steps): [Step[]] => [steps]),
    },
  )
  expect(crashes).toBeGreaterThan(300)
  expect(purged).toBeGreaterThan(100)
  expect(rewritten).toBeGreaterThan(20)
})
