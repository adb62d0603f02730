/**
 * Clients of a simulated cluster. Each does one operation after the other, on few keys, with values
 * that are never used twice; what they saw becomes one history per key.
 */
import type { Random } from '../../src/base/clock.ts'
import { RawKind } from '../../src/protocol/raw.ts'
import { checkRegister, type RegisterOperation } from './register-check.ts'
import type { Call, RequestFields, World } from './world.ts'

/** Refusals after which the write certainly did not happen. */
const REFUSALS: ReadonlySet<string> = new Set([
  'NotLeader',
  'StaleCommand',
  'ServerIsBusy',
  'EpochNotMatch',
  'RegionNotFound',
  'MismatchPeerId',
])
const KEYS_PER_REGION = 3
const TIMEOUT_MS = 3_000
const THINK_MS_MAX = 40
const BACKOFF_MS = 60
/** Keys that come and go, of which no history is kept: data for logs and snapshots. */
const CHURN_KEYS = 24
const CHURN_BYTES_MAX = 700

interface Running {
  readonly call: Call
  readonly begin: number
  readonly key: string
  /** undefined: it reads. */
  readonly value: string | undefined
}

export class Clients {
  readonly #world: World
  readonly #random: Random
  readonly #running = new Map<Call, Running & { readonly next: () => void }>()
  readonly history = new Map<string, RegisterOperation[]>()
  /** Where each client believes the leader of a region to be. */
  readonly #believed = new Map<string, number>()
  /** Orders all beginnings and ends. */
  #moment = 0
  #values = 0
  #stopped = false
  #lullUntilMs = 0
  readonly counts: Record<string, number> = {
    acknowledged: 0,
    read: 0,
    scanned: 0,
    replicaRead: 0,
    unknown: 0,
    refused: 0,
    churned: 0,
  }

  constructor(world: World, random: Random) {
    this.#world = world
    this.#random = random
    world.onAnswer = (call) => this.#onAnswer(call)
  }

  get running(): number {
    return this.#running.size
  }

  start(count: number): void {
    for (let client = 0; client < count; client++) this.#think(client, THINK_MS_MAX)
  }

  /** Puts and deletes, every `everyMs`. */
  churn(everyMs: number): void {
    this.#world.queue.after(everyMs, () => {
      if (this.#stopped) return
      if (!this.#lulled) this.#churnOne()
      this.churn(everyMs)
    })
  }

  #churnOne(): void {
    const world = this.#world
    const { id } = world.regions[this.#random.below(world.regions.length)]!
    const leader = world.leader(id)
    if (leader === undefined) return
    const key = Buffer.from(`${String.fromCharCode(96 + id)}x${this.#random.below(CHURN_KEYS)}`)
    const kind = this.#random.below(3) === 0 ? RawKind.Delete : RawKind.Put
    const value = Buffer.alloc(1 + this.#random.below(CHURN_BYTES_MAX), `w${++this.#values}`)
    this.#counted('churned')
    world.send(kind, id, leader.self.storeId, kind === RawKind.Put ? { key, value } : { key })
  }

  /** Nobody asks for anything for a while. */
  lull(ms: number): void {
    this.#lullUntilMs = this.#world.queue.nowMs + ms
  }

  get #lulled(): boolean {
    return this.#world.queue.nowMs < this.#lullUntilMs
  }

  stop(): void {
    this.#stopped = true
  }

  keys(): string[] {
    const keys: string[] = []
    for (const { id } of this.#world.regions) {
      for (let n = 0; n < KEYS_PER_REGION; n++) keys.push(`${String.fromCharCode(96 + id)}${n}`)
    }
    return keys
  }

  #think(client: number, msMax: number): void {
    this.#world.queue.after(this.#random.below(msMax * 100) / 100, () => {
      if (this.#lulled) this.#think(client, BACKOFF_MS)
      else if (!this.#stopped) this.#operate(client)
    })
  }

  #operate(client: number): void {
    const keys = this.keys()
    const key = keys[this.#random.below(keys.length)]!
    const regionId = this.#world.regionOf(key).id
    const dice = this.#random.below(100)
    const replicaRead = dice >= 85
    const storeId = replicaRead ? this.#anyStore() : this.#storeFor(client, regionId)
    if (!this.#world.store(storeId).isUp) {
      this.#believed.delete(`${client} ${regionId}`)
      this.#think(client, BACKOFF_MS)
      return
    }
    const value = dice < 50 ? `v${++this.#values}` : undefined
    if (replicaRead) this.#counted('replicaRead')
    this.#send(client, storeId, key, value, {
      replicaRead,
      durationMsMax: dice % 2 === 0 ? 800 : 0,
    })
  }

  #send(
    client: number,
    storeId: number,
    key: string,
    value: string | undefined,
    fields: RequestFields,
  ): void {
    const begin = ++this.#moment
    const world = this.#world
    const scan = value === undefined && fields.replicaRead !== true && this.#random.below(4) === 0
    const range = { key: Buffer.from(key), endKey: Buffer.from(`${key}~`), limit: 10 }
    // A refusal may come before send() returns.
    const early: Call[] = []
    const onAnswer = world.onAnswer
    world.onAnswer = (call) => early.push(call)
    const call =
      value !== undefined
        ? world.put(storeId, key, value, fields)
        : scan
          ? world.send(RawKind.Scan, world.regionOf(key).id, storeId, { ...fields, ...range })
          : world.get(storeId, key, fields)
    world.onAnswer = onAnswer
    this.#running.set(call, { call, begin, key, value, next: () => this.#follow(client, call) })
    for (const one of early) this.#onAnswer(one)
    world.queue.after(TIMEOUT_MS, () => this.#giveUp(call))
  }

  /** Reads every key, of whoever leads now; for the end, when all is well. */
  async readAll(): Promise<void> {
    const world = this.#world
    for (const key of this.keys()) {
      for (let tries = 0; ; tries++) {
        const leader = await world.awaitLeader(world.regionOf(key).id, 30_000)
        const begin = ++this.#moment
        const call = await world.answered(world.get(leader.self.storeId, key))
        if (call.outcome === 'ok') {
          this.#record(key, { kind: 'read', value: call.value, begin, end: ++this.#moment })
          break
        }
        if (tries > 20) throw new Error(`key ${key} cannot be read: ${call.outcome}`)
        await world.run(100)
      }
    }
  }

  #onAnswer(call: Call): void {
    const running = this.#running.get(call)
    if (running === undefined) return
    this.#running.delete(call)
    this.#conclude(running)
    running.next()
  }

  #giveUp(call: Call): void {
    const running = this.#running.get(call)
    if (running === undefined) return
    this.#running.delete(call)
    this.#conclude(running)
    running.next()
  }

  #conclude({ call, begin, key, value }: Running): void {
    const { outcome } = call
    if (value === undefined) {
      if (outcome !== 'ok') return
      const scan = call.request.kind === RawKind.Scan
      this.#counted(scan ? 'scanned' : 'read')
      const found = scan ? call.response!.pairs[1]?.toString() : call.value
      this.#record(key, { kind: 'read', value: found, begin, end: ++this.#moment })
    } else if (outcome === 'ok') {
      this.#counted('acknowledged')
      this.#record(key, { kind: 'write', value, begin, end: ++this.#moment })
    } else if (REFUSALS.has(outcome)) {
      this.#counted('refused')
    } else {
      this.#counted('unknown')
      this.#record(key, { kind: 'write', value, begin, end: Number.POSITIVE_INFINITY })
    }
  }

  /** Takes the hint of a refusal, then goes on. */
  #follow(client: number, call: Call): void {
    const place = `${client} ${call.request.regionId}`
    const error = call.response?.regionError
    if (call.outcome === 'ok') this.#believed.set(place, call.storeId)
    else if (error?.code === 'NotLeader' && error.leader !== undefined) {
      this.#believed.set(place, error.leader.storeId)
    } else this.#believed.delete(place)
    this.#think(client, call.outcome === 'ok' ? THINK_MS_MAX : BACKOFF_MS)
  }

  #storeFor(client: number, regionId: number): number {
    return this.#believed.get(`${client} ${regionId}`) ?? this.#anyStore()
  }

  #anyStore(): number {
    return 1 + this.#random.below(this.#world.stores.length)
  }

  #counted(name: string): void {
    this.counts[name] = (this.counts[name] ?? 0) + 1
  }

  #record(key: string, operation: RegisterOperation): void {
    const history = this.history.get(key)
    if (history === undefined) this.history.set(key, [operation])
    else history.push(operation)
  }

  /** Every key by itself behaved as one register. */
  check(): void {
    const open = new Map<string, RegisterOperation[]>()
    for (const { key, value, begin } of this.#running.values()) {
      if (value === undefined) continue
      const write = { kind: 'write', value, begin, end: Number.POSITIVE_INFINITY } as const
      open.set(key, [...(open.get(key) ?? []), write])
    }
    for (const [key, history] of this.history) {
      const wrong = checkRegister([...history, ...(open.get(key) ?? [])])
      if (wrong !== undefined) throw new Error(`key ${key} is not linearizable: ${wrong}`)
    }
  }
}
