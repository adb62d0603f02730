/** Envelopes, observers and stores shared by the transport tests. */
import { seededRandom } from '../../src/base/clock.ts'
import type { StoreId } from '../../src/base/ids.ts'
import type { Logger } from '../../src/base/logger.ts'
import { newMessage } from '../../src/raft/message.ts'
import { type Message, MessageType } from '../../src/raft/types.ts'
import type { TransportLimits } from '../../src/transport/limits.ts'
import type {
  RaftEnvelope,
  SnapshotRefusal,
  SnapshotSink,
  TransportEvents,
} from '../../src/transport/port.ts'
import { createTcpTransport, type TcpTransport } from '../../src/transport/tcp-transport.ts'

function message(fields: Partial<Message>): Message {
  return { ...newMessage(MessageType.Heartbeat, 2), from: 1, term: 7, ...fields }
}

export function envelope(to: StoreId, fields: Partial<Message> = {}, from = 1): RaftEnvelope {
  return {
    regionId: 10,
    from: { id: 100 + from, storeId: from, role: 0 },
    to: { id: 100 + to, storeId: to, role: 0 },
    epoch: { confVer: 3, version: 4 },
    message: message({ to: 100 + to, from: 100 + from, ...fields }),
  }
}

/** An append of one entry, told from others by its index. */
export function append(to: StoreId, index: number, data: Uint8Array, from = 1): RaftEnvelope {
  const entries = [{ index, term: 7, type: 0 as const, data }]
  return envelope(to, { type: MessageType.Append, index: index - 1, logTerm: 7, entries }, from)
}

/** Collects what a transport tells, and lets a test wait for it without sleeping. */
export class Observer implements TransportEvents {
  readonly received: RaftEnvelope[] = []
  readonly frames: number[] = []
  readonly unreachable: StoreId[] = []
  readonly silent: StoreId[] = []
  /** Assigned by tests of snapshots. */
  onSnapshotOffer?: (envelope: RaftEnvelope) => SnapshotSink | SnapshotRefusal
  #waiters: { readonly met: () => boolean; readonly resolve: () => void }[] = []

  onMessages(envelopes: RaftEnvelope[]): void {
    this.received.push(...envelopes)
    this.frames.push(envelopes.length)
    this.#wake()
  }

  onUnreachable(storeId: StoreId): void {
    this.unreachable.push(storeId)
    this.#wake()
  }

  onSilent(storeId: StoreId): void {
    this.silent.push(storeId)
    this.#wake()
  }

  until(met: () => boolean): Promise<void> {
    if (met()) return Promise.resolve()
    return new Promise((resolve) => this.#waiters.push({ met, resolve }))
  }

  #wake(): void {
    const ready = this.#waiters.filter((waiter) => waiter.met())
    this.#waiters = this.#waiters.filter((waiter) => !ready.includes(waiter))
    for (const waiter of ready) waiter.resolve()
  }
}

export interface LogLine {
  readonly level: string
  readonly fields: Record<string, unknown>
  readonly message: string
}

export function recordingLogger(lines: LogLine[], onLine: () => void = () => {}): Logger {
  const at = (level: string) => (fields: object, text: string) => {
    lines.push({ level, fields: fields as Record<string, unknown>, message: text })
    onLine()
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

export interface TestStore {
  readonly id: StoreId
  readonly transport: TcpTransport
  readonly observer: Observer
  readonly lines: LogLine[]
}

export interface TestStoreOptions {
  readonly clusterId?: number
  readonly port?: number
  readonly limits?: Partial<TransportLimits>
}

/** Stores that find each other through `addresses`, closed by closeAll(). */
export class TestNet {
  readonly addresses = new Map<StoreId, string>()
  readonly #open: TcpTransport[] = []

  async start(id: StoreId, options: TestStoreOptions = {}): Promise<TestStore> {
    const observer = new Observer()
    const lines: LogLine[] = []
    const transport = await createTcpTransport({
      clusterId: options.clusterId ?? 9,
      storeId: id,
      listen: { host: '127.0.0.1', port: options.port ?? 0 },
      resolve: async (storeId) => {
        const address = this.addresses.get(storeId)
        if (address === undefined) throw new Error(`store ${storeId} is not known`)
        return address
      },
      events: observer,
      logger: recordingLogger(lines),
      random: seededRandom(id),
      limits: { backoffMs: 5, backoffMsMax: 20, ...options.limits },
    })
    this.addresses.set(id, transport.address)
    this.#open.push(transport)
    return { id, transport, observer, lines }
  }

  async closeAll(): Promise<void> {
    await Promise.all(this.#open.map((transport) => transport.close()))
  }
}
