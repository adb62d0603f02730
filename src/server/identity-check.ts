/**
 * A copy of a store's data directory must not run beside the original: two that vote under one id
 * break every promise of raft. A lock does not see it, as it is another directory, and to PD it looks
 * like a store that moved. So whoever comes with another address than PD knows asks at the old one.
 * Where nobody can be asked (an original that is paused, status addresses that look alike), the next
 * heartbeat of the one that began earlier ends it (pd/store-table.ts).
 */
import { PolyraftError } from '../base/errors.ts'
import type { ClusterId, StoreId } from '../base/ids.ts'
import type { PdClient, StoreMeta } from '../pd/port.ts'

type Identity = Pick<StoreMeta, 'id' | 'address' | 'statusAddress'>

const ANSWER_MS_MAX = 2000

/** Rejects with DataDirMismatch when the store runs at the address that PD knows. */
export async function mustNotRunElsewhere(pd: PdClient, meta: Identity): Promise<void> {
  const known = await knownStore(pd, meta.id)
  if (known === undefined || known.address === meta.address || known.statusAddress === '') return
  if (known.statusAddress === meta.statusAddress) return
  const clusterId = await pd.clusterId()
  if (!(await isServedAt(known.statusAddress, clusterId, meta.id))) return
  throw new PolyraftError(
    'DataDirMismatch',
    `store ${meta.id} runs at ${known.address} already: this data directory is a copy of its own. ` +
      'Stop that store, or remove this directory and start a new store',
    { storeId: meta.id, address: known.address },
  )
}

async function knownStore(pd: PdClient, storeId: StoreId): Promise<StoreMeta | undefined> {
  try {
    return await pd.getStore(storeId)
  } catch (error) {
    if (error instanceof PolyraftError && error.code === 'NotBootstrapped') return undefined
    throw error
  }
}

/** Nobody there, or somebody else: the store has moved. */
async function isServedAt(
  address: string,
  clusterId: ClusterId,
  storeId: number,
): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(ANSWER_MS_MAX)
    const response = await fetch(`http://${address}/status`, { signal })
    const status = (await response.json()) as { clusterId?: unknown; storeId?: unknown } | null
    return status?.clusterId === clusterId && status.storeId === storeId
  } catch {
    return false
  }
}
