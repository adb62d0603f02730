/** Builds, carries over and installs snapshot sets in tests, without threads or sockets. */
import { join } from 'node:path'
import { ColumnFamily, type KvEngine } from '../../src/engine/port.ts'
import type { FileSystem } from '../../src/env/port.ts'
import { readFile } from '../../src/env/port.ts'
import { dataKey } from '../../src/region/keys.ts'
import type { Region } from '../../src/region/region.ts'
import { SnapshotBuilder } from '../../src/snap/builder.ts'
import { filePath, type SnapshotMeta, snapshotName } from '../../src/snap/format.ts'
import { SnapshotInstaller } from '../../src/snap/installer.ts'
import { ReceivedSnapshot } from '../../src/snap/received.ts'

export const DIR = '/snap'

export function region(startKey = 'b', endKey = 'y'): Region {
  return {
    id: 7,
    startKey: Buffer.from(startKey),
    endKey: Buffer.from(endKey),
    epoch: { confVer: 1, version: 2 },
    peers: [{ id: 70, storeId: 1, role: 0 }],
  }
}

export function fill(engine: KvEngine, keys: number, valueBytes = 100, prefix = 'k'): void {
  const batch = engine.newBatch()
  for (let i = 0; i < keys; i++) {
    const value = Buffer.alloc(valueBytes, `${i};`)
    batch.put((i % 3) as ColumnFamily, dataKey(Buffer.from(`${prefix}${i}`)), value)
  }
  engine.write(batch, { sync: false })
}

/** All user data of the families, as text. */
export function dump(engine: KvEngine): Record<string, string> {
  const rows: Record<string, string> = {}
  for (const cf of [ColumnFamily.Default, ColumnFamily.Lock, ColumnFamily.Write]) {
    const scan = engine.scanSync(cf, {
      start: Buffer.from([0]),
      end: Buffer.from([0xff]),
      limit: 1e9,
      bytesMax: 1e12,
      reverse: false,
      keysOnly: false,
    })
    for (let i = 0; i < scan.rows.length; i += 2) {
      rows[`${cf}/${scan.rows[i]!.toString()}`] = scan.rows[i + 1]!.toString()
    }
  }
  return rows
}

export async function build(
  engine: KvEngine,
  fs: FileSystem,
  options: { dir?: string; fileBytesMax?: number; region?: Region } = {},
): Promise<SnapshotMeta> {
  const { dir = DIR, fileBytesMax } = options
  const pin = { region: options.region ?? region(), index: 50, term: 6 }
  const builder = new SnapshotBuilder({
    engine,
    fs,
    dir,
    pin,
    ...(fileBytesMax !== undefined && { sizes: { fileBytesMax } }),
  })
  for (;;) {
    const meta = await builder.step()
    if (meta !== undefined) return meta
  }
}

/** Carries a set over in chunks, as a transfer does. */
export function carry(
  fs: FileSystem,
  meta: SnapshotMeta,
  to: { fs: FileSystem; dir?: string },
  options: { dir?: string; change?: (file: number, bytes: Buffer) => void } = {},
): ReceivedSnapshot {
  const received = new ReceivedSnapshot(to.fs, to.dir ?? DIR, meta)
  meta.files.forEach((file, number) => {
    const bytes = readFile(fs, filePath(options.dir ?? DIR, snapshotName('gen', meta), file))
    options.change?.(number, bytes)
    for (let at = 0; at < bytes.length; at += 1000) {
      received.write(number, at, bytes.subarray(at, at + 1000))
    }
  })
  return received
}

export function install(engine: KvEngine, fs: FileSystem, meta: SnapshotMeta, dir = DIR): void {
  const installer = new SnapshotInstaller(engine, fs, dir, meta)
  installer.record({ term: 7, vote: 0, index: meta.index, indexTerm: meta.term })
  installer.clear()
  while (!installer.step()) {}
  installer.finish()
}

export function pathOf(meta: SnapshotMeta, file: number, dir = DIR): string {
  return join(filePath(dir, snapshotName('rev', meta), meta.files[file]!))
}
