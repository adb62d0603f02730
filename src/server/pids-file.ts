/** pids.json of a cluster: which process is what. Replaced as a whole, so readers see all or the old. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'

export interface PidsStore {
  /** As PD and the protocol know the store; 0 until it has one. */
  readonly id: number
  /** 0 while it does not run. */
  readonly pid: number
  readonly address: string
  readonly status: string
  readonly dir: string
}

export interface Pids {
  readonly pd: number
  readonly stores: readonly PidsStore[]
}

export function writePids(file: string, pids: Pids): void {
  const temporary = `${file}.tmp`
  writeFileSync(temporary, `${JSON.stringify(pids, undefined, 2)}\n`)
  renameSync(temporary, file)
}

/** Store ids by directory, from an earlier run; what cannot be read counts as not there. */
export function readStoreIds(file: string): Map<string, number> {
  if (!existsSync(file)) return new Map()
  try {
    const pids = JSON.parse(readFileSync(file, 'utf8')) as Pids
    return new Map(pids.stores.map((store) => [store.dir, store.id]))
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return new Map()
    throw error
  }
}
