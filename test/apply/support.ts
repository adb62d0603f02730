/** A small engine that can be looked into and broken, and builders for entries and regions. */
import type { RegionId } from '../../src/base/ids.ts'
import { RequestBuilder } from '../../src/command/request-builder.ts'
import { ColumnFamily, type KvBatch } from '../../src/engine/port.ts'
import { type Entry, EntryType } from '../../src/raft/types.ts'
import { applyStateKey } from '../../src/region/keys.ts'
import type { Region } from '../../src/region/region.ts'
import { type ApplyState, decodeApplyState, INITIAL_APPLY_STATE } from '../../src/region/state.ts'

type Write = { cf: ColumnFamily; key: string; value: Buffer | undefined }

export class FakeBatch implements KvBatch {
  readonly writes: Write[] = []
  bytes = 0
  /** It was on disk before write() returned. */
  synced = false

  get length(): number {
    return this.writes.length
  }

  put(cf: ColumnFamily, key: Uint8Array, value: Uint8Array): void {
    this.writes.push({ cf, key: Buffer.from(key).toString('latin1'), value: Buffer.from(value) })
    this.bytes += key.length + value.length
  }

  delete(cf: ColumnFamily, key: Uint8Array): void {
    this.writes.push({ cf, key: Buffer.from(key).toString('latin1'), value: undefined })
    this.bytes += key.length
  }
}

export class FakeEngine {
  readonly families: Map<string, Buffer>[] = [new Map(), new Map(), new Map(), new Map()]
  /** Every batch that was written, in order. */
  readonly batches: FakeBatch[] = []
  onWrite: (batch: FakeBatch) => void = () => {}

  newBatch(): FakeBatch {
    return new FakeBatch()
  }

  write(batch: KvBatch, { sync }: { readonly sync: boolean }): void {
    const fake = batch as FakeBatch
    fake.synced = sync
    this.onWrite(fake)
    this.batches.push(fake)
    for (const { cf, key, value } of fake.writes) {
      if (value === undefined) this.families[cf]!.delete(key)
      else this.families[cf]!.set(key, value)
    }
  }

  /** Batches that the last barrier covered. */
  syncedBatches = 0

  sync(): void {
    this.syncedBatches = this.batches.length
  }

  /** User data of the default family, keys without prefix, values without flags. */
  data(): Record<string, string> {
    const rows = [...this.families[ColumnFamily.Default]!].sort(([a], [b]) => (a < b ? -1 : 1))
    return Object.fromEntries(
      rows.map(([key, value]) => [key.slice(1), value.subarray(0, -1).toString()]),
    )
  }

  applyState(regionId: RegionId): ApplyState {
    const key = applyStateKey(regionId).toString('latin1')
    const bytes = this.families[ColumnFamily.Raft]!.get(key)
    return bytes === undefined ? INITIAL_APPLY_STATE : decodeApplyState(bytes)
  }
}

export function region(id: RegionId, version = 1): Region {
  return {
    id,
    startKey: Buffer.alloc(0),
    endKey: Buffer.alloc(0),
    epoch: { confVer: 1, version },
    peers: [{ id: id * 10, storeId: 1, role: 0 }],
  }
}

/** 'a=1' puts, '-a' deletes. */
export function command(text: string, epochVersion = 1): Buffer {
  const builder = new RequestBuilder()
  builder.begin(epochVersion)
  for (const op of text.split(' ')) {
    const [key, value] = op.split('=')
    if (value === undefined) builder.delete(0, Buffer.from(key!.slice(1)))
    else builder.put(0, Buffer.from(key!), Buffer.from(value))
  }
  return builder.take()
}

/** `ops` puts of `valueBytes` each. */
export function bulk(prefix: string, ops: number, valueBytes: number): Buffer {
  const builder = new RequestBuilder()
  builder.begin(1)
  for (let i = 0; i < ops; i++) {
    builder.put(0, Buffer.from(`${prefix}${i}`), Buffer.alloc(valueBytes, 'v'))
  }
  return builder.take()
}

export function entry(
  index: number,
  data: Uint8Array | string = Buffer.alloc(0),
  options: { term?: number; type?: EntryType } = {},
): Entry {
  return {
    index,
    term: options.term ?? 6,
    type: options.type ?? EntryType.Normal,
    data: typeof data === 'string' ? command(data) : data,
  }
}

export class ManualClock {
  nowMs = 0

  monotonicMs(): number {
    return this.nowMs
  }

  wallMs(): number {
    return this.nowMs
  }
}
