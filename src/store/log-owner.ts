/**
 * Whose raft log this is: a file in raft/ that names the store, to be held against the identity in
 * kv/. Either directory swapped for another store's, or lost, would make a store vote under one name
 * with the memory of another, or start as if it had never promised anything.
 *
 * INVARIANT: the identity is durable in kv/ before anything is in raft/; so a log without an
 * identity means that kv/ lost it.
 */
import { join } from 'node:path'
import { PolyraftError } from '../base/errors.ts'
import { REJOIN } from '../base/rejoin.ts'
import { type FileSystem, readFile } from '../env/port.ts'
import type { StoreIdent } from '../region/state.ts'

const OWNER_FILE = 'OWNER'

type Owner = Pick<StoreIdent, 'clusterId' | 'storeId'>

/** `hasRegions`: the log holds something. Throws Corruption. */
export function mustBelongTogether(
  fs: FileSystem,
  dir: string,
  ident: StoreIdent | undefined,
  hasRegions: boolean,
): void {
  const owner = readOwner(fs, dir)
  if (ident === undefined) {
    if (owner !== undefined || hasRegions) {
      throw refusal(`${dir} holds the raft log of a store, but kv/ beside it is empty: it was lost`)
    }
  } else if (owner !== undefined && !isSame(owner, ident)) {
    const log = `${dir} is of store ${owner.storeId} of cluster ${owner.clusterId}`
    const kv = `kv/ beside it of store ${ident.storeId} of cluster ${ident.clusterId}`
    throw refusal(`${log}, ${kv}: one of them was swapped; put it back`)
  }
}

/** Durable when it returns. */
export function writeOwner(fs: FileSystem, dir: string, ident: StoreIdent): void {
  if (readOwner(fs, dir) !== undefined) return
  const path = join(dir, OWNER_FILE)
  const temporary = `${path}.tmp`
  if (fs.exists(temporary)) fs.remove(temporary)
  const file = fs.open(temporary, 'create')
  try {
    file.write(Buffer.from(`store ${ident.storeId} of cluster ${ident.clusterId}\n`), 0)
    file.sync()
  } finally {
    file.close()
  }
  fs.rename(temporary, path)
  fs.syncDirectory(dir)
}

function readOwner(fs: FileSystem, dir: string): Owner | undefined {
  const path = join(dir, OWNER_FILE)
  if (!fs.exists(path)) return undefined
  const match = /^store (\d{1,16}) of cluster (\d{1,16})\n$/.exec(readFile(fs, path).toString())
  if (match !== null) return { storeId: Number(match[1]), clusterId: Number(match[2]) }
  throw new PolyraftError(
    'Corruption',
    `${path} is damaged: it should say whose raft log this is. If nothing in ${dir} was swapped, ` +
      'delete that file; else bring the directory back',
    { path },
  )
}

function isSame(a: Owner, b: Owner): boolean {
  return a.storeId === b.storeId && a.clusterId === b.clusterId
}

function refusal(what: string): PolyraftError {
  return new PolyraftError('Corruption', `${what}, or, ${REJOIN}`)
}
