/**
 * A disk in memory that remembers what was synced, for simulation and tests. crash() is a power
 * loss: bytes and names that were not synced go, wholly or in part as the policy says.
 *
 *   file    what is read now  =  durable bytes  +  unsynced writes, in order
 *   names   what is listed now;  durable names are those of the directory's last sync
 *
 * INVARIANTS
 * - Nothing that was synced is ever lost by crash().
 * - Handles and locks from before a crash are dead: using one throws EIO.
 */
import { dirname, join } from 'node:path'
import { assert } from '../base/assert.ts'
import type { Random } from '../base/clock.ts'
import { PolyraftError } from '../base/errors.ts'
import type { DirectoryLock, FileHandle, FileSystem, OpenMode } from './port.ts'
import { systemError } from './system-error.ts'

const SECTOR_BYTES = 512

type Pending =
  | { readonly kind: 'write'; readonly position: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly size: number }

/** Bytes that grow: a zero-filled buffer and how much of it is the file. */
class Extent {
  #bytes = Buffer.alloc(0)
  size = 0

  write(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length
    if (end > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(end, this.#bytes.length * 2))
      this.#bytes.copy(larger, 0, 0, this.size)
      this.#bytes = larger
    }
    this.#bytes.set(bytes, position)
    this.size = Math.max(this.size, end)
  }

  truncate(size: number): void {
    if (size < this.size) this.#bytes.fill(0, size, this.size)
    if (size > this.size) this.write(new Uint8Array(size - this.size), this.size)
    this.size = size
  }

  view(): Buffer {
    return this.#bytes.subarray(0, this.size)
  }

  assign(other: Extent): void {
    this.#bytes = Buffer.from(other.view())
    this.size = other.size
  }
}

class MemoryNode {
  readonly current = new Extent()
  readonly durable = new Extent()
  pending: Pending[] = []

  write(bytes: Uint8Array, position: number): void {
    this.pending.push({ kind: 'write', position, bytes: Buffer.from(bytes) })
    this.current.write(bytes, position)
  }

  truncate(size: number): void {
    this.pending.push({ kind: 'truncate', size })
    this.current.truncate(size)
  }

  sync(): void {
    for (const one of this.pending) {
      if (one.kind === 'write') this.durable.write(one.bytes, one.position)
      else this.durable.truncate(one.size)
    }
    this.pending = []
  }

  copy(): MemoryNode {
    const copy = new MemoryNode()
    copy.current.assign(this.current)
    copy.durable.assign(this.durable)
    copy.pending = [...this.pending]
    return copy
  }

  crash(random: Random | undefined): void {
    if (random !== undefined) {
      for (const one of this.pending) {
        if (one.kind === 'write') keepSectors(this.durable, one, random)
        else if (random.below(2) === 0) this.durable.truncate(one.size)
      }
    }
    this.pending = []
    this.current.assign(this.durable)
  }
}

/** Any subset of a write's sectors may have reached the disk before the power went. */
function keepSectors(
  durable: Extent,
  write: Extract<Pending, { kind: 'write' }>,
  random: Random,
): void {
  const all = random.below(2) === 0
  let from = 0
  while (from < write.bytes.length) {
    const sectorEnd = SECTOR_BYTES - ((write.position + from) % SECTOR_BYTES)
    const to = Math.min(write.bytes.length, from + sectorEnd)
    if (all || random.below(2) === 0) {
      durable.write(write.bytes.subarray(from, to), write.position + from)
    }
    from = to
  }
}

/** A name gets a file, or (`node` undefined) loses it; a renamed file leaves `from` in the same step. */
interface NameChange {
  readonly path: string
  readonly node: MemoryNode | undefined
  readonly from: string | undefined
}

function changeName(names: Map<string, MemoryNode>, { path, node, from }: NameChange): void {
  if (from !== undefined) names.delete(from)
  if (node === undefined) names.delete(path)
  else names.set(path, node)
}

export class MemoryFileSystem implements FileSystem {
  readonly shared = false
  #names = new Map<string, MemoryNode>()
  #durableNames = new Map<string, MemoryNode>()
  /** In order, since the last sync of their directory. */
  #unsyncedNames: NameChange[] = []
  readonly #directories = new Set<string>()
  #locks = new Set<string>()
  /** Rises with each crash, so that handles know whether they are from before it. */
  #life = 0

  open(path: string, mode: OpenMode): FileHandle {
    let node = this.#names.get(path)
    if (mode === 'create') {
      if (node !== undefined) throw systemError('EEXIST', `open '${path}'`)
      if (!this.#directories.has(dirname(path))) throw systemError('ENOENT', `open '${path}'`)
      node = new MemoryNode()
      this.#change({ path, node, from: undefined })
    }
    if (node === undefined) throw systemError('ENOENT', `open '${path}'`)
    const life = this.#life
    return new MemoryFile(path, node, () => this.#life === life)
  }

  exists(path: string): boolean {
    return this.#names.has(path) || this.#directories.has(path)
  }

  list(directory: string): string[] {
    if (!this.#directories.has(directory)) throw systemError('ENOENT', `scandir '${directory}'`)
    const names: string[] = []
    for (const path of this.#names.keys()) {
      if (dirname(path) === directory) names.push(path.slice(join(directory, '/').length))
    }
    return names.sort()
  }

  makeDirectory(directory: string): void {
    this.#directories.add(directory)
    const parent = dirname(directory)
    if (parent !== directory) this.makeDirectory(parent)
  }

  rename(from: string, to: string): void {
    const node = this.#names.get(from)
    if (node === undefined) throw systemError('ENOENT', `rename '${from}'`)
    this.#change({ path: to, node, from })
  }

  remove(path: string): void {
    if (!this.#names.has(path)) throw systemError('ENOENT', `unlink '${path}'`)
    this.#change({ path, node: undefined, from: undefined })
  }

  syncDirectory(directory: string): void {
    const isOfDirectory = ({ path }: NameChange) => dirname(path) === directory
    for (const one of this.#unsyncedNames.filter(isOfDirectory)) changeName(this.#durableNames, one)
    this.#unsyncedNames = this.#unsyncedNames.filter((one) => !isOfDirectory(one))
  }

  async lockDirectory(directory: string): Promise<DirectoryLock> {
    const locks = this.#locks
    if (locks.has(directory)) {
      throw new PolyraftError('DataDirLocked', `${directory} is in use by this process`, {
        directory,
        pid: undefined,
      })
    }
    locks.add(directory)
    return {
      release: async () => {
        locks.delete(directory)
      },
    }
  }

  /** Power loss. Without `random` everything unsynced is lost; with it, any part of it survives. */
  crash(random?: Random): void {
    this.#life++
    this.#locks = new Set()
    // A file system commits changes of names in order: some first ones of them survive.
    const survive = random === undefined ? 0 : random.below(this.#unsyncedNames.length + 1)
    for (const one of this.#unsyncedNames.slice(0, survive)) changeName(this.#durableNames, one)
    this.#unsyncedNames = []
    this.#names = new Map(this.#durableNames)
    for (const node of new Set([...this.#names.values(), ...this.#durableNames.values()])) {
      node.crash(random)
    }
  }

  #change(change: NameChange): void {
    changeName(this.#names, change)
    this.#unsyncedNames.push(change)
  }

  /** The file's bytes as they are read now. */
  bytes(path: string): Buffer {
    const node = this.#names.get(path)
    assert(node !== undefined, `no file ${path}`)
    return Buffer.from(node.current.view())
  }

  /** Puts bytes on the disk from outside, durable: damage, or a file from elsewhere. */
  plant(path: string, bytes: Uint8Array): void {
    this.makeDirectory(dirname(path))
    const node = new MemoryNode()
    node.write(bytes, 0)
    node.sync()
    this.#names.set(path, node)
    this.#durableNames.set(path, node)
    // What was to become of this name before is past.
    this.#unsyncedNames = this.#unsyncedNames
      .filter((one) => one.path !== path)
      .map((one) => (one.from === path ? { ...one, from: undefined } : one))
  }

  /** An independent disk as the next process finds it: what was not synced still is not. */
  afterProcess(): MemoryFileSystem {
    const next = new MemoryFileSystem()
    const copies = new Map<MemoryNode, MemoryNode>()
    const copied = (node: MemoryNode): MemoryNode => {
      const copy = copies.get(node) ?? node.copy()
      copies.set(node, copy)
      return copy
    }
    for (const directory of this.#directories) next.makeDirectory(directory)
    for (const [path, node] of this.#names) next.#names.set(path, copied(node))
    for (const [path, node] of this.#durableNames) next.#durableNames.set(path, copied(node))
    next.#unsyncedNames = this.#unsyncedNames.map((one) => ({
      ...one,
      node: one.node && copied(one.node),
    }))
    return next
  }

  /** As Linux does when an fsync fails: bytes that the disk never got count as written. */
  forgetUnsynced(): void {
    for (const node of this.#names.values()) node.pending = []
  }

  /** An independent disk with the same content, everything durable. */
  clone(): MemoryFileSystem {
    const copy = new MemoryFileSystem()
    for (const directory of this.#directories) copy.makeDirectory(directory)
    for (const path of this.#names.keys()) copy.plant(path, this.bytes(path))
    return copy
  }
}

class MemoryFile implements FileHandle {
  readonly path: string
  readonly #node: MemoryNode
  readonly #alive: () => boolean
  #open = true

  constructor(path: string, node: MemoryNode, alive: () => boolean) {
    this.path = path
    this.#node = node
    this.#alive = alive
  }

  size(): number {
    return this.#live().current.size
  }

  read(target: Uint8Array, position: number): number {
    const bytes = this.#live()
      .current.view()
      .subarray(position, position + target.length)
    target.set(bytes)
    return bytes.length
  }

  write(bytes: Uint8Array, position: number): void {
    this.#live().write(bytes, position)
  }

  truncate(size: number): void {
    this.#live().truncate(size)
  }

  datasync(): void {
    this.#live().sync()
  }

  sync(): void {
    this.#live().sync()
  }

  close(): void {
    assert(this.#open, `${this.path} is closed once`)
    this.#open = false
  }

  #live(): MemoryNode {
    assert(this.#open, `${this.path} is open`)
    if (!this.#alive()) throw systemError('EIO', `${this.path}: the machine has crashed`)
    return this.#node
  }
}
