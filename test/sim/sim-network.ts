/**
 * The network between simulated stores. Healthy, a link keeps order as TCP does; with faults every
 * message travels alone and may be lost, late, doubled, or overtaken.
 */
import type { Random } from '../../src/base/clock.ts'
import type { StoreId } from '../../src/base/ids.ts'
import type { RaftEnvelope, Transport } from '../../src/transport/port.ts'
import type { EventQueue } from './event-queue.ts'

export interface NetworkCounts {
  sent: number
  cut: number
  dropped: number
  delayed: number
  doubled: number
  overtaken: number
  unreachable: number
}

export interface Receiver {
  readonly id: StoreId
  readonly isUp: boolean
  receive(envelopes: RaftEnvelope[]): void
  unreachable(storeId: StoreId): void
}

const LATENCY_MS = 0.3

export class SimNetwork {
  readonly #queue: EventQueue
  readonly #random: Random
  readonly #stores = new Map<StoreId, Receiver>()
  /** Links that carry nothing, as `from>to`. */
  readonly #cut = new Set<string>()
  /** Latest arrival per link, so that a later message that comes earlier is noticed. */
  readonly #lastArrival = new Map<string, number>()
  /** Chances in a thousand. */
  dropPerMille = 0
  doublePerMille = 0
  delayPerMille = 0
  delayMsMax = 0
  /** Told of each message as it leaves; false swallows it. */
  filter: ((envelope: RaftEnvelope) => boolean) | undefined = undefined
  readonly counts: NetworkCounts = {
    sent: 0,
    cut: 0,
    dropped: 0,
    delayed: 0,
    doubled: 0,
    overtaken: 0,
    unreachable: 0,
  }

  constructor(queue: EventQueue, random: Random) {
    this.#queue = queue
    this.#random = random
  }

  attach(store: Receiver): void {
    this.#stores.set(store.id, store)
  }

  cut(from: StoreId, to: StoreId): void {
    this.#cut.add(`${from}>${to}`)
  }

  /** Nothing to or from this store. */
  isolate(storeId: StoreId): void {
    for (const other of this.#stores.keys()) {
      if (other === storeId) continue
      this.cut(storeId, other)
      this.cut(other, storeId)
    }
  }

  heal(): void {
    this.#cut.clear()
    this.dropPerMille = 0
    this.doublePerMille = 0
    this.delayPerMille = 0
  }

  transport(from: StoreId): Transport {
    let batches = new Map<StoreId, RaftEnvelope[]>()
    return {
      send: (envelope) => {
        const batch = batches.get(envelope.to.storeId)
        if (batch === undefined) batches.set(envelope.to.storeId, [envelope])
        else batch.push(envelope)
        return true
      },
      // Logs of this world are never compacted, so nobody needs one.
      sendSnapshot: (_envelope, _source, done) => done('failed', 'not simulated'),
      flush: () => {
        const leaving = batches
        batches = new Map()
        for (const [to, batch] of leaving) this.#post(from, to, batch)
      },
      close: () => Promise.resolve(),
    }
  }

  #post(from: StoreId, to: StoreId, batch: RaftEnvelope[]): void {
    const { filter } = this
    const leaving = filter === undefined ? batch : batch.filter((envelope) => filter(envelope))
    this.counts.sent += leaving.length
    if (leaving.length === 0) return
    if (this.dropPerMille + this.doublePerMille + this.delayPerMille === 0) {
      this.#travel(from, to, leaving, LATENCY_MS)
      return
    }
    for (const envelope of leaving) this.#postFaulty(from, to, envelope)
  }

  #postFaulty(from: StoreId, to: StoreId, envelope: RaftEnvelope): void {
    if (this.#chance(this.dropPerMille)) {
      this.counts.dropped++
      return
    }
    const copies = this.#chance(this.doublePerMille) ? 2 : 1
    if (copies === 2) this.counts.doubled++
    for (let i = 0; i < copies; i++) {
      const late = this.#chance(this.delayPerMille)
      if (late) this.counts.delayed++
      this.#travel(
        from,
        to,
        [envelope],
        LATENCY_MS + (late ? this.#random.below(this.delayMsMax) : 0),
      )
    }
  }

  #travel(from: StoreId, to: StoreId, batch: RaftEnvelope[], delayMs: number): void {
    const link = `${from}>${to}`
    const arrival = this.#queue.nowMs + delayMs
    const last = this.#lastArrival.get(link) ?? 0
    if (arrival < last) this.counts.overtaken++
    else this.#lastArrival.set(link, arrival)
    this.#queue.at(arrival, () => this.#arrive(from, to, batch))
  }

  #arrive(from: StoreId, to: StoreId, batch: RaftEnvelope[]): void {
    if (this.#cut.has(`${from}>${to}`)) {
      this.counts.cut += batch.length
      return
    }
    const receiver = this.#stores.get(to)
    if (receiver?.isUp) {
      receiver.receive(batch)
      return
    }
    const sender = this.#stores.get(from)
    if (!sender?.isUp) return
    this.counts.unreachable++
    sender.unreachable(to)
  }

  #chance(perMille: number): boolean {
    return perMille > 0 && this.#random.below(1000) < perMille
  }
}
