/**
 * Several stores in one process: a hub that hands envelopes over by reference. It serves the
 * embedded cluster; a simulator puts its own network behind the same port.
 *
 * INVARIANTS
 * - Delivery happens on the next scheduled round, never within send() or flush().
 * - In order per pair; what is for a store that is not (or no longer) attached is dropped, and the
 *   sender is told once until it is attached again.
 */
import { assert } from '../base/assert.ts'
import type { RoundScheduler } from '../base/clock.ts'
import { errorMessage } from '../base/errors.ts'
import type { StoreId } from '../base/ids.ts'
import type {
  RaftEnvelope,
  SnapshotOutcome,
  SnapshotRefusal,
  SnapshotSource,
  Transport,
  TransportEvents,
} from './port.ts'
import { isRefusal, sendChunks } from './snapshot-stream.ts'

/** Messages that may wait for one store of the hub. */
const QUEUE_MESSAGES_MAX = 65_536

export class LoopbackHub {
  readonly #scheduler: RoundScheduler
  readonly #stores = new Map<StoreId, LoopbackTransport>()
  #frames: { readonly to: StoreId; readonly from: StoreId; readonly batch: RaftEnvelope[] }[] = []
  #scheduled = false

  constructor(scheduler: RoundScheduler) {
    this.#scheduler = scheduler
  }

  attach(storeId: StoreId, events: TransportEvents): LoopbackTransport {
    assert(!this.#stores.has(storeId), `store ${storeId} is attached once`)
    const transport = new LoopbackTransport(this, storeId, events)
    this.#stores.set(storeId, transport)
    for (const other of this.#stores.values()) other.onAttached(storeId)
    return transport
  }

  find(storeId: StoreId): LoopbackTransport | undefined {
    return this.#stores.get(storeId)
  }

  detach(storeId: StoreId): void {
    this.#stores.delete(storeId)
    // Behind what is still on its way from there.
    this.#scheduler.schedule(() => {
      for (const other of this.#stores.values()) other.events.onSilent(storeId)
    })
  }

  post(from: StoreId, to: StoreId, batch: RaftEnvelope[]): void {
    this.#frames.push({ from, to, batch })
    if (this.#scheduled) return
    this.#scheduled = true
    this.#scheduler.schedule(() => this.#deliver())
  }

  #deliver(): void {
    const frames = this.#frames
    this.#frames = []
    this.#scheduled = false
    for (const { from, to, batch } of frames) {
      const sender = this.#stores.get(from)
      sender?.onTaken(to, batch.length)
      const receiver = this.#stores.get(to)
      if (receiver !== undefined) receiver.events.onMessages(batch)
      else sender?.onLost(to)
    }
  }
}

export class LoopbackTransport implements Transport {
  readonly events: TransportEvents
  readonly #hub: LoopbackHub
  readonly #storeId: StoreId
  readonly #queues = new Map<StoreId, RaftEnvelope[]>()
  /** Sent and not delivered yet, by store. */
  readonly #waiting = new Map<StoreId, number>()
  readonly #unreachable = new Set<StoreId>()
  #closed = false

  constructor(hub: LoopbackHub, storeId: StoreId, events: TransportEvents) {
    this.#hub = hub
    this.#storeId = storeId
    this.events = events
  }

  send(envelope: RaftEnvelope): boolean {
    const to = envelope.to.storeId
    const waiting = this.#waiting.get(to) ?? 0
    if (this.#closed || waiting >= QUEUE_MESSAGES_MAX) return false
    this.#waiting.set(to, waiting + 1)
    const queue = this.#queues.get(to)
    if (queue === undefined) this.#queues.set(to, [envelope])
    else queue.push(envelope)
    return true
  }

  flush(): void {
    if (this.#queues.size === 0) return
    for (const [to, batch] of this.#queues) this.#hub.post(this.#storeId, to, batch)
    this.#queues.clear()
  }

  sendSnapshot(
    envelope: RaftEnvelope,
    source: SnapshotSource,
    done: (outcome: SnapshotOutcome, reason: string) => void,
  ): void {
    const receiver = this.#closed ? undefined : this.#hub.find(envelope.to.storeId)
    carrySnapshot(envelope, source, receiver?.events).then(
      (refusal) => {
        if (refusal === undefined) done('sent', '')
        else done(refusal.busy ? 'busy' : 'failed', refusal.reason)
      },
      (error: unknown) => done('failed', errorMessage(error)),
    )
  }

  close(): Promise<void> {
    if (!this.#closed) this.#hub.detach(this.#storeId)
    this.#closed = true
    this.#queues.clear()
    return Promise.resolve()
  }

  onTaken(to: StoreId, count: number): void {
    const left = (this.#waiting.get(to) ?? 0) - count
    assert(left >= 0, 'no more is delivered than was sent')
    this.#waiting.set(to, left)
  }

  onLost(to: StoreId): void {
    if (this.#unreachable.has(to)) return
    this.#unreachable.add(to)
    this.events.onUnreachable(to)
  }

  onAttached(storeId: StoreId): void {
    this.#unreachable.delete(storeId)
  }
}

async function carrySnapshot(
  envelope: RaftEnvelope,
  source: SnapshotSource,
  receiver: TransportEvents | undefined,
): Promise<SnapshotRefusal | undefined> {
  const sink = receiver?.onSnapshotOffer?.(envelope) ?? { busy: false, reason: 'nobody is there' }
  if (isRefusal(sink)) return sink
  try {
    await sendChunks(source, (file, offset, bytes) => sink.write(file, offset, bytes))
    await sink.finish()
    return undefined
  } catch (error) {
    sink.abort()
    throw error
  }
}
