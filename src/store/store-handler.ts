/**
 * The store's control FSM and the handler that the poller calls: what concerns all regions, or one
 * that is not here, is a message to the store.
 */

import { unreachable } from '../base/assert.ts'
import type { RoundScheduler } from '../base/clock.ts'
import type { RegionId, StoreId } from '../base/ids.ts'
import type { Fsm, PollHandler } from '../batch-system/fsm.ts'
import { Mailbox } from '../batch-system/mailbox.ts'
import { Poller } from '../batch-system/poller.ts'
import { Router } from '../batch-system/router.ts'
import { hasLogToCompact } from '../peer/admin/compact-log.ts'
import {
  HEARTBEAT_PD,
  type PeerMessage,
  type PeerSignal,
  PeerTag,
  RAFT_LOG_GC,
  TICK,
  TRANSFER_AWAY,
} from '../peer/messages.ts'
import type { Peer } from '../peer/peer.ts'
import type { PeerHandler } from '../peer/peer-handler.ts'
import type { RaftLog } from '../raftlog/port.ts'
import type { Region } from '../region/region.ts'
import type { RoundReads } from './round-reads.ts'

export type StoreMessage =
  | { readonly kind: 'tick' }
  | { readonly kind: 'heartbeat-pd' }
  | { readonly kind: 'raft-log-gc' }
  | { readonly kind: 'transfer-away' }
  | { readonly kind: 'unreachable'; readonly storeId: StoreId }
  | { readonly kind: 'silent'; readonly storeId: StoreId }

const MAILBOX_CAPACITY = 4096

export class StoreFsm implements Fsm<StoreMessage> {
  /** Region ids begin at 1. */
  readonly id = 0
  readonly mailbox = new Mailbox<StoreMessage>(MAILBOX_CAPACITY)
}

export type StoreRouter = Router<PeerMessage, Peer, StoreMessage, StoreFsm>

export class StoreHandler implements PollHandler<Peer, StoreFsm> {
  readonly #peers: PeerHandler
  readonly #reads: RoundReads
  readonly #router: () => StoreRouter
  readonly #log: Pick<RaftLog, 'regionsToCompact'>
  readonly #awake: ReadonlySet<RegionId>

  constructor(
    peers: PeerHandler,
    reads: RoundReads,
    router: () => StoreRouter,
    log: Pick<RaftLog, 'regionsToCompact'>,
    awake: ReadonlySet<RegionId>,
  ) {
    this.#peers = peers
    this.#reads = reads
    this.#router = router
    this.#log = log
    this.#awake = awake
  }

  begin(): void {
    this.#peers.begin()
  }

  handleControl(control: StoreFsm, messagesMax: number): void {
    for (let left = messagesMax; left > 0; left--) {
      const message = control.mailbox.take()
      if (message === undefined) return
      this.#onMessage(message)
    }
  }

  handleNormal(peer: Peer, messagesMax: number): void {
    this.#peers.handleNormal(peer, messagesMax)
  }

  lightEnd(batch: readonly Peer[]): void {
    this.#peers.lightEnd(batch)
  }

  end(): void {
    this.#peers.end()
    this.#reads.flush()
  }

  #onMessage(message: StoreMessage): void {
    switch (message.kind) {
      case 'tick':
        return this.#to(this.#awake, TICK)
      case 'heartbeat-pd':
        return this.#toAll(HEARTBEAT_PD)
      case 'raft-log-gc':
        return this.#collectLogs()
      case 'transfer-away':
        return this.#toAll(TRANSFER_AWAY)
      case 'unreachable':
        return this.#toAll({ tag: PeerTag.Unreachable, storeId: message.storeId })
      case 'silent':
        return this.#toAll({ tag: PeerTag.Silent, storeId: message.storeId })
      default:
        return unreachable(message)
    }
  }

  /** Wakes only leaders whose log has something to lose: a look at two numbers for the others. */
  #collectLogs(): void {
    const router = this.#router()
    for (const peer of router.all()) {
      if (hasLogToCompact(peer)) router.sendForced(peer.id, RAFT_LOG_GC)
    }
    this.#emptyOldFiles()
  }

  /** Of a region that is led elsewhere its leader decides, whose log has old files for it too. */
  #emptyOldFiles(): void {
    const router = this.#router()
    for (const { regionId, index } of this.#log.regionsToCompact()) {
      if (router.get(regionId)?.isLeader !== true) continue
      router.sendForced(regionId, { tag: PeerTag.RaftLogGc, forcedIndex: index })
    }
  }

  #toAll(signal: PeerSignal): void {
    this.#to(this.#router().ids(), signal)
  }

  #to(ids: Iterable<RegionId>, signal: PeerSignal): void {
    const router = this.#router()
    for (const id of ids) router.sendForced(id, signal)
  }
}

/** The region is what it was, and its data is there and neither about to be replaced nor to go. */
export function isCurrentRegion(router: StoreRouter, region: Region): boolean {
  const peer = router.get(region.id)
  return (
    peer !== undefined &&
    peer.region === region &&
    peer.install === undefined &&
    peer.destroying === undefined
  )
}

/** The poller of a store and its mailboxes; the handler is asked for once rounds run. */
export function openStorePoller(
  config: { readonly storeMaxBatchSize: number; readonly messagesPerTick: number },
  scheduler: RoundScheduler,
  handler: () => StoreHandler,
): { readonly poller: Poller<Peer, StoreFsm>; readonly router: StoreRouter } {
  const control = new StoreFsm()
  const poller = new Poller<Peer, StoreFsm>({
    scheduler,
    handler: {
      begin: () => handler().begin(),
      handleControl: (fsm, max) => handler().handleControl(fsm, max),
      handleNormal: (fsm, max) => handler().handleNormal(fsm, max),
      lightEnd: (batch) => handler().lightEnd(batch),
      end: () => handler().end(),
    },
    control,
    batchMax: config.storeMaxBatchSize,
    messagesMax: config.messagesPerTick,
  })
  return { poller, router: new Router(poller, control) }
}
