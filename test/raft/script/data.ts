/** Finds the public test data beside the repository; absent, its tests are skipped. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '../../../../shared/data/etcd-raft')

export const HAS_DATA = existsSync(ROOT)
if (!HAS_DATA) console.warn('skipped: no public raft test data at ../shared/data/etcd-raft')

export function dataFiles(folder: string): string[] {
  if (!HAS_DATA) return []
  return readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.txt'))
    .sort()
}

export function readData(folder: string, name: string): string {
  return readFileSync(join(ROOT, folder, name), 'utf8')
}
