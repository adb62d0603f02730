/**
 * The network between simulated stores. Healthy, a link keeps order as TCP does; with faults every
 * message travels alone and may be lost, late, doubled, or overtaken.
 */
import type { Random } from '../../src/base/clock.ts'
import { errorMessage } from '../../src/base/errors.ts'
import type { StoreId } from '../../src/base/ids.ts'
import type {
  RaftEnvelope,
  SnapshotOutcome,
  SnapshotSource,
  Transport,
} from '../../src/transport/port.ts'
import { SnapshotVerdict } from '../../src/transport/snapshot-stream.ts'
import { sendTransfer } from '../../src/transport/snapshot-transfer.ts'
import type { EventQueue } from './event-queue.ts'
import { type Carry, type LinkHolder, SimSnapshotLink } from './sim-snapshot-link.ts'

export interface NetworkCounts {
  sent: number
  cut: number
  dropped: number
  delayed: number
  doubled: number
  overtaken: number
  unreachable: number
  snapshotLinks: number
  brokenLinks: number
  corruptChunks: number
}

export interface Receiver {
  readonly id: StoreId
  readonly isUp: boolean
  receive(from: StoreId, envelopes: RaftEnvelope[]): void
  unreachable(storeId: StoreId): void
  /** A snapshot comes in on the link that this makes; undefined when nobody listens. */
  acceptSnapshot(open: (holder: LinkHolder) => SimSnapshotLink): void
}

const LATENCY_MS = 0.3
/** Chunks are small here. */
const CHUNK_BYTES = 1024
/** Kind, file, offset: what follows is the chunk. */
const CHUNK_HEADER_BYTES = 13
const CHUNK_KIND = 3

export class SimNetwork {
  readonly #queue: EventQueue
  readonly #random: Random
  readonly #stores = new Map<StoreId, Receiver>()
  /** Links that carry nothing, as `from>to`. */
  readonly #cut = new Set<string>()
  /** One end of each snapshot link under way. */
  readonly #links = new Map<SimSnapshotLink, { from: StoreId; to: StoreId }>()
  /** Latest arrival per link, so that a later message that comes earlier is noticed. */
  readonly #lastArrival = new Map<string, number>()
  /** Chances in a thousand. */
  dropPerMille = 0
  doublePerMille = 0
  delayPerMille = 0
  delayMsMax = 0
  /** Of chunks of snapshots: whatever checksums below did not notice. */
  corruptPerMille = 0
  /** Told of each message as it leaves; false swallows it. */
  filter: ((envelope: RaftEnvelope) => boolean) | undefined = undefined
  /** Told of everything that leaves a store, also of what gets lost. */
  onSend: ((envelope: RaftEnvelope) => void) | undefined = undefined
  readonly counts: NetworkCounts = {
    sent: 0,
    cut: 0,
    dropped: 0,
    delayed: 0,
    doubled: 0,
    overtaken: 0,
    unreachable: 0,
    snapshotLinks: 0,
    brokenLinks: 0,
    corruptChunks: 0,
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

  /** The machine or the process is gone. */
  silence(storeId: StoreId): void {
    for (const [link, { from, to }] of this.#links) {
      if (from === storeId || to === storeId) link.fallSilent()
    }
  }

  heal(): void {
    this.#cut.clear()
    this.dropPerMille = 0
    this.doublePerMille = 0
    this.delayPerMille = 0
    this.corruptPerMille = 0
  }

  transport(from: StoreId, holder: LinkHolder): Transport {
    let batches = new Map<StoreId, RaftEnvelope[]>()
    return {
      send: (envelope) => {
        this.onSend?.(envelope)
        const batch = batches.get(envelope.to.storeId)
        if (batch === undefined) batches.set(envelope.to.storeId, [envelope])
        else batch.push(envelope)
        return true
      },
      sendSnapshot: (envelope, source, done) => this.#sendSnapshot(holder, envelope, source, done),
      flush: () => {
        const leaving = batches
        batches = new Map()
        for (const [to, batch] of leaving) this.#post(from, to, batch)
      },
      close: () => Promise.resolve(),
    }
  }

  #sendSnapshot(
    holder: LinkHolder,
    envelope: RaftEnvelope,
    source: SnapshotSource,
    done: (outcome: SnapshotOutcome, reason: string) => void,
  ): void {
    const [from, to] = [envelope.from.storeId, envelope.to.storeId]
    const receiver = this.#stores.get(to)
    if (receiver?.isUp !== true || this.#cut.has(`${from}>${to}`)) {
      holder.later(LATENCY_MS, () => done('failed', 'nobody is there'))
      return
    }
    this.counts.snapshotLinks++
    const nowMs = (): number => this.#queue.nowMs
    const link = new SimSnapshotLink(holder, this.#carry(from, to), nowMs)
    receiver.acceptSnapshot((other) => {
      const far = new SimSnapshotLink(other, this.#carry(to, from), nowMs)
      SimSnapshotLink.connect(link, far)
      return far
    })
    this.#links.set(link, { from, to })
    const close = (): void => {
      this.#links.delete(link)
      link.destroy()
    }
    sendTransfer(link, envelope, source, CHUNK_BYTES).then(
      ({ verdict, reason }) => {
        close()
        if (verdict === SnapshotVerdict.Ok) done('sent', '')
        else done(verdict === SnapshotVerdict.Busy ? 'busy' : 'failed', reason)
      },
      (error: unknown) => {
        close()
        done('failed', errorMessage(error))
      },
    )
  }

  #carry(from: StoreId, to: StoreId): Carry {
    return (payload) => {
      if (this.#cut.has(`${from}>${to}`) || this.#stores.get(to)?.isUp !== true) return undefined
      // What datagrams lose, a connection repairs, most of the time.
      if (this.#chance(this.dropPerMille / 2)) {
        this.counts.brokenLinks++
        return 'break'
      }
      if (payload.length > CHUNK_HEADER_BYTES && this.#chance(this.corruptPerMille)) {
        const at = CHUNK_HEADER_BYTES + this.#random.below(payload.length - CHUNK_HEADER_BYTES)
        if (payload[0] === CHUNK_KIND) {
          this.counts.corruptChunks++
          payload[at]! ^= 1 << this.#random.below(8)
        }
      }
      return (
        LATENCY_MS + (this.#chance(this.delayPerMille) ? this.#random.below(this.delayMsMax) : 0)
      )
    }
  }

  /** An empty frame to each other store; with faults it may get lost like any. */
  stayAlive(from: StoreId): void {
    for (const to of this.#stores.keys()) {
      if (to === from || this.#chance(this.dropPerMille)) continue
      this.#queue.after(LATENCY_MS, () => this.#arrive(from, to, []))
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
      receiver.receive(from, batch)
      return
    }
    // A sign of life is for nobody then.
    if (batch.length === 0) return
    const sender = this.#stores.get(from)
    if (!sender?.isUp) return
    this.counts.unreachable++
    sender.unreachable(to)
  }

  #chance(perMille: number): boolean {
    return perMille > 0 && this.#random.below(1000) < perMille
  }
}
