/** The snapshot directory: finishing a set, reading and removing it. */
import { basename, join } from 'node:path'
import { KIB } from '../base/limits.ts'
import { type FileSystem, readFile } from '../env/port.ts'
import { decodeMeta, encodeMeta, metaPath, type SnapshotMeta } from './format.ts'

/**
 * Synced as it is written, for the raft log is on the same disk: its fsyncs take 8 ms beside one of
 * 4 MiB, however rare those are, and hardly longer than ever beside many of half a MiB.
 */
export const UNSYNCED_BYTES_MAX = 512 * KIB

/** Makes the set valid, all at once: its files are complete. */
export function commitMeta(fs: FileSystem, dir: string, name: string, meta: SnapshotMeta): void {
  const path = metaPath(dir, name)
  const temporary = `${path}.tmp`
  if (fs.exists(temporary)) fs.remove(temporary)
  const file = fs.open(temporary, 'create')
  try {
    file.write(encodeMeta(meta), 0)
    file.sync()
  } finally {
    file.close()
  }
  fs.rename(temporary, path)
  fs.syncDirectory(dir)
}

/** The meta of a complete set; undefined when there is none. Throws Corruption. */
export function readMeta(fs: FileSystem, dir: string, name: string): SnapshotMeta | undefined {
  const path = metaPath(dir, name)
  return fs.exists(path) ? decodeMeta(readFile(fs, path)) : undefined
}

/** Removes a set, complete or not; the meta goes first, so that half a set is never valid. */
export function removeSnapshot(fs: FileSystem, dir: string, name: string): void {
  const path = metaPath(dir, name)
  if (fs.exists(path)) fs.remove(path)
  for (const file of fs.list(dir)) {
    if (isOf(name, file)) fs.remove(join(dir, file))
  }
}

/** Removes those that are there; metas first, so that half a set is never valid. */
export function removeFiles(fs: FileSystem, dir: string, files: readonly string[]): void {
  for (const metas of [true, false]) {
    for (const file of files) {
      const path = join(dir, file)
      if (file.endsWith('.meta') === metas && fs.exists(path)) fs.remove(path)
    }
  }
}

/** Removes everything but the sets named. Returns the names of the files removed. */
export function removeAllBut(fs: FileSystem, dir: string, kept: readonly string[]): string[] {
  const waste = fs.list(dir).filter((file) => !kept.some((name) => isOf(name, file)))
  for (const file of waste) fs.remove(join(dir, file))
  return waste
}

function isOf(name: string, file: string): boolean {
  const base = basename(file)
  return base.startsWith(`${name}.`) || base.startsWith(`${name}_`)
}
