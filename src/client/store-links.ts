/**
 * Connections to stores, and how far each store can be trusted just now. A connection repairs itself;
 * when it fails, PD is asked in the background whether the store has moved. So a store that comes
 * back where it was is found without PD.
 */
import { errorMessage, PolyraftError } from '../base/errors.ts'
import type { StoreId } from '../base/ids.ts'
import { type PdClient, StoreState } from '../pd/port.ts'
import type { RawRequest } from '../protocol/raw.ts'
import type { StoreConnection, StoreConnectionEvents } from './store-connection.ts'

const SUSPECT_MS_MIN = 100
const SUSPECT_MS_MAX = 2000

export type ConnectStore = (
  address: string,
  storeId: StoreId,
  events: StoreConnectionEvents,
) => StoreConnection

export interface StoreLinksEvents {
  /** Connected: the requests may be sent now. */
  onOpen(requests: RawRequest[]): void
  /** PD does not know the store any more. */
  onGone(storeId: StoreId, requests: RawRequest[]): void
  onOpenFailed(requests: RawRequest[], reason: string): void
  /** These requests get no answer. */
  onConnectionFailed(link: StoreLink, requests: readonly RawRequest[], error: Error): void
}

export class StoreLink {
  readonly storeId: StoreId
  connection: StoreConnection | undefined = undefined
  /** While its address is being asked: who waits, and since when. */
  opening: RawRequest[] | undefined = undefined
  openingSinceMs = 0
  /** PD is being asked whether the store has moved. */
  refreshing = false
  /** Something answered since the last sweep; the sweep turns it into `heardAtMs`. */
  heard = false
  /** It has answered at this time or later. */
  heardAtMs = 0
  /** Until then other replicas are preferred. */
  suspectUntilMs = 0
  suspectMs = 0

  constructor(storeId: StoreId) {
    this.storeId = storeId
  }
}

export class StoreLinks {
  #pd: PdClient
  #connect: ConnectStore
  #events: StoreLinksEvents
  #links = new Map<StoreId, StoreLink>()
  #closed = false

  constructor(pd: PdClient, connect: ConnectStore, events: StoreLinksEvents) {
    this.#pd = pd
    this.#connect = connect
    this.#events = events
  }

  // @hot
  get(storeId: StoreId): StoreLink {
    const known = this.#links.get(storeId)
    if (known !== undefined) return known
    const link = new StoreLink(storeId)
    this.#links.set(storeId, link)
    return link
  }

  isSuspect(storeId: StoreId, nowMs: number): boolean {
    const link = this.#links.get(storeId)
    return link !== undefined && link.suspectUntilMs > nowMs
  }

  suspect(link: StoreLink, nowMs: number, forMsMin = SUSPECT_MS_MIN): void {
    if (link.suspectUntilMs > nowMs) return
    link.suspectMs = Math.min(Math.max(link.suspectMs * 2, forMsMin), SUSPECT_MS_MAX)
    link.suspectUntilMs = nowMs + link.suspectMs
  }

  /** Queues the request behind the opening of the link. */
  open(link: StoreLink, request: RawRequest, nowMs: number): void {
    if (link.opening !== undefined) {
      link.opening.push(request)
      return
    }
    link.opening = [request]
    link.openingSinceMs = nowMs
    const attempt = link.opening
    this.#pd.getStore(link.storeId).then(
      (store) => {
        if (link.opening !== attempt) return
        link.opening = undefined
        if (store === undefined || store.state === StoreState.Tombstone) {
          this.#events.onGone(link.storeId, attempt)
        } else if (!this.#closed) {
          link.connection = this.#dial(link, store.address)
          this.#events.onOpen(attempt)
        }
      },
      (error) => {
        if (link.opening !== attempt) return
        link.opening = undefined
        this.#events.onOpenFailed(attempt, `PD: ${errorMessage(error)}`)
      },
    )
  }

  #dial(link: StoreLink, address: string): StoreConnection {
    const connection: StoreConnection = this.#connect(address, link.storeId, {
      onFailed: (requests, error) => {
        if (link.connection === connection) this.#refresh(link, connection)
        this.#events.onConnectionFailed(link, requests, error)
      },
    })
    return connection
  }

  #refresh(link: StoreLink, connection: StoreConnection): void {
    if (link.refreshing || this.#closed) return
    link.refreshing = true
    this.#pd.getStore(link.storeId).then(
      (store) => {
        link.refreshing = false
        if (link.connection !== connection) return
        if (store?.address !== connection.address) this.drop(link)
      },
      () => {
        // PD is not reachable either: the address that is known is the best there is.
        link.refreshing = false
      },
    )
  }

  /** Forgets address and connection: the next attempt asks PD. */
  drop(link: StoreLink): void {
    const connection = link.connection
    if (connection === undefined) return
    link.connection = undefined
    connection.close().catch(() => {
      // It is of no use any more, whether it closes well or not.
    })
  }

  /**
   * Notes who has answered since `sinceMs`, the last sweep, and gives up addresses that PD did not
   * tell in time.
   */
  sweep(nowMs: number, sinceMs: number, openMsMax: number): void {
    for (const link of this.#links.values()) {
      if (link.heard) {
        link.heard = false
        link.heardAtMs = sinceMs
        link.suspectUntilMs = 0
        link.suspectMs = 0
      }
      if (link.opening !== undefined && nowMs - link.openingSinceMs >= openMsMax) {
        const requests = link.opening
        link.opening = undefined
        this.#events.onOpenFailed(requests, `PD did not tell the address of store ${link.storeId}`)
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    const closing: Promise<void>[] = []
    for (const link of this.#links.values()) {
      if (link.connection !== undefined) closing.push(link.connection.close())
      link.connection = undefined
      link.opening = undefined
    }
    this.#links.clear()
    const results = await Promise.allSettled(closing)
    const failed = results.find((result) => result.status === 'rejected')
    if (failed === undefined) return
    throw new PolyraftError('Internal', `closing a connection: ${errorMessage(failed.reason)}`)
  }
}
