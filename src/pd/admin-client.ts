/** PdAdmin over gRPC. */
import type { RegionId, StoreId } from '../base/ids.ts'
import { adminMethods, type OperatorResponse } from '../protocol/admin-services.ts'
import { pdMethods } from '../protocol/pd-services.ts'
import type {
  OperatorInfo,
  PdAdmin,
  PdSettings,
  StoreRemoval,
  StoreRemovalOptions,
} from './admin-port.ts'
import type { PeerCommand } from './checkers/peer-command.ts'
import { storeFromWire } from './convert.ts'
import { PdChannel, type PdChannelOptions } from './pd-channel.ts'

/** Rejects with Unavailable, naming the endpoints, when none of them answers in time. */
export async function connectPdAdmin(
  endpoints: readonly string[],
  options: PdChannelOptions,
): Promise<PdAdmin> {
  return new GrpcPdAdmin(await PdChannel.connect(endpoints, options))
}

class GrpcPdAdmin implements PdAdmin {
  readonly #channel: PdChannel

  constructor(channel: PdChannel) {
    this.#channel = channel
  }

  async settings(): Promise<PdSettings> {
    const { replicas, maxStoreDownMs } = await this.#channel.call(adminMethods.settings, {})
    return { replicas, maxStoreDownMs }
  }

  async setReplicas(count: number): Promise<void> {
    const cluster = { id: this.#channel.clusterId, maxPeerCount: count }
    await this.#channel.call(pdMethods.putClusterConfig, { cluster })
  }

  async deleteStore(storeId: StoreId, how: StoreRemovalOptions): Promise<StoreRemoval> {
    const body = { storeId, ...how }
    const { store, regions } = await this.#channel.call(adminMethods.deleteStore, body)
    return { store: storeFromWire(store!), regions }
  }

  async operators(): Promise<OperatorInfo[]> {
    const { operators } = await this.#channel.call(adminMethods.listOperators, {})
    return operators.map((operator) => infoOf({ operator }))
  }

  async operator(regionId: RegionId): Promise<OperatorInfo> {
    return infoOf(await this.#channel.call(adminMethods.getOperator, { regionId }))
  }

  async addOperator(command: PeerCommand): Promise<OperatorInfo> {
    const { kind, regionId, storeId } = command
    const toStoreId = kind === 'transfer-peer' ? command.toStoreId : 0
    const body = { kind, regionId, storeId, toStoreId }
    return infoOf(await this.#channel.call(adminMethods.addOperator, body))
  }

  async removeOperator(regionId: RegionId): Promise<void> {
    await this.#channel.call(adminMethods.removeOperator, { regionId })
  }

  async close(): Promise<void> {
    this.#channel.close()
  }
}

function infoOf({ operator }: Pick<OperatorResponse, 'operator'>): OperatorInfo {
  const { regionId, reason, origin, status, note, steps, stepIndex, ageMs, stepAgeMs } = operator!
  return {
    regionId,
    reason,
    origin,
    status: status as OperatorInfo['status'],
    note,
    steps,
    stepIndex,
    ageMs,
    stepAgeMs,
  }
}
