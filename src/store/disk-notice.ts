/**
 * Runs a store's disk guard, and carries what stores tell each other of their disks: a message of
 * region 0, which no store has, in the stream of raft's messages. It is rare, needs no link of its
 * own, and is dropped by whoever does not know it.
 *
 *   message  type Beat (raft never sends it) · index = number of the state
 */
import type { StoreId } from '../base/ids.ts'
import { newMessage } from '../raft/message.ts'
import { MessageType } from '../raft/types.ts'
import { type Peer, PeerRole } from '../region/region.ts'
import type { RaftEnvelope, Transport } from '../transport/port.ts'
import type { DiskGuard } from './disk-guard.ts'
import type { StoreRouter } from './store-handler.ts'

const NO_REGION = 0

export function startGuard(
  guard: DiskGuard,
  router: StoreRouter,
  transport: Transport,
  storeId: StoreId,
): void {
  guard.start({
    tell: (state) => {
      for (const to of neighbours(router, storeId)) transport.send(diskNotice(storeId, to, state))
      transport.flush()
    },
    moveLeaders: () => router.sendControl({ kind: 'transfer-away' }),
  })
  guard.run()
}

/** Stores that have replicas of the same regions. */
function neighbours(router: StoreRouter, storeId: StoreId): Set<StoreId> {
  const stores = new Set<StoreId>()
  for (const { region } of router.all()) for (const { storeId: at } of region.peers) stores.add(at)
  stores.delete(storeId)
  return stores
}

function diskNotice(from: StoreId, to: StoreId, state: number): RaftEnvelope {
  const message = newMessage(MessageType.Beat, 0)
  message.index = state
  return {
    regionId: NO_REGION,
    from: nobodyOn(from),
    to: nobodyOn(to),
    epoch: { confVer: 0, version: 0 },
    message,
  }
}

/** False when it is something else. */
export function takeDiskNotice(
  guard: DiskGuard,
  { regionId, from, message }: RaftEnvelope,
): boolean {
  if (regionId !== NO_REGION || message.type !== MessageType.Beat) return false
  guard.onTold(from.storeId, message.index)
  return true
}

function nobodyOn(storeId: StoreId): Peer {
  return { id: 0, storeId, role: PeerRole.Voter }
}
