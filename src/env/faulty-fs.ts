/**
 * A file system around another one whose operations can be made to fail: the n-th fsync, a full
 * disk, an unreadable file. What is lost when the power goes is MemoryFileSystem's own business.
 */
import type { DirectoryLock, FileHandle, FileSystem, OpenMode } from './port.ts'
import { systemError } from './system-error.ts'

export type FaultyOperation =
  | 'create'
  | 'read'
  | 'write'
  | 'sync'
  | 'truncate'
  | 'rename'
  | 'remove'
  | 'sync-directory'

export class FaultyFileSystem implements FileSystem {
  readonly shared = false
  readonly #inner: FileSystem
  /** Bytes that may still be written before the disk is full. */
  freeBytes = Number.POSITIVE_INFINITY
  /**
   * Operations that change something after which the machine stops: from then on everything fails
   * with EIO, and nothing reaches the disk any more. For cutting a history at each of them in turn.
   */
  stopAfter = Number.POSITIVE_INFINITY
  #operations = 0
  readonly #faults = new Map<FaultyOperation, { after: number; code: string }>()
  /** Operations that were let through or failed, by kind. */
  readonly counts: Record<FaultyOperation, number> = {
    create: 0,
    read: 0,
    write: 0,
    sync: 0,
    truncate: 0,
    rename: 0,
    remove: 0,
    'sync-directory': 0,
  }

  constructor(inner: FileSystem) {
    this.#inner = inner
  }

  /** The operation fails once with `code`, after `after` more successful ones. */
  failOnce(operation: FaultyOperation, code: string, after = 0): void {
    this.#faults.set(operation, { after, code })
  }

  /** Operations that changed something. */
  get operations(): number {
    return this.#operations
  }

  get stopped(): boolean {
    return this.#operations >= this.stopAfter
  }

  open(path: string, mode: OpenMode): FileHandle {
    if (mode === 'create') this.check('create', path)
    return new FaultyFile(this, this.#inner.open(path, mode))
  }

  exists(path: string): boolean {
    return this.#inner.exists(path)
  }

  list(directory: string): string[] {
    return this.#inner.list(directory)
  }

  makeDirectory(directory: string): void {
    this.#inner.makeDirectory(directory)
  }

  rename(from: string, to: string): void {
    this.check('rename', from)
    this.#inner.rename(from, to)
  }

  remove(path: string): void {
    this.check('remove', path)
    this.#inner.remove(path)
  }

  syncDirectory(directory: string): void {
    this.check('sync-directory', directory)
    this.#inner.syncDirectory(directory)
  }

  lockDirectory(directory: string): Promise<DirectoryLock> {
    return this.#inner.lockDirectory(directory)
  }

  check(operation: FaultyOperation, path: string): void {
    if (this.stopped) throw systemError('EIO', `${operation} '${path}': the machine has stopped`)
    if (operation !== 'read') this.#operations++
    this.counts[operation]++
    const fault = this.#faults.get(operation)
    if (fault === undefined) return
    if (fault.after > 0) {
      fault.after--
      return
    }
    this.#faults.delete(operation)
    throw systemError(fault.code, `${operation} '${path}'`)
  }
}

class FaultyFile implements FileHandle {
  readonly path: string
  readonly #owner: FaultyFileSystem
  readonly #inner: FileHandle

  constructor(owner: FaultyFileSystem, inner: FileHandle) {
    this.path = inner.path
    this.#owner = owner
    this.#inner = inner
  }

  size(): number {
    return this.#inner.size()
  }

  read(target: Uint8Array, position: number): number {
    this.#owner.check('read', this.path)
    return this.#inner.read(target, position)
  }

  /** A full disk takes what fits, as the kernel does, and fails on the rest. */
  write(bytes: Uint8Array, position: number): void {
    this.#owner.check('write', this.path)
    const fits = Math.min(bytes.length, this.#owner.freeBytes)
    this.#owner.freeBytes -= fits
    this.#inner.write(bytes.subarray(0, fits), position)
    if (fits < bytes.length) throw systemError('ENOSPC', `write '${this.path}'`)
  }

  truncate(size: number): void {
    this.#owner.check('truncate', this.path)
    this.#inner.truncate(size)
  }

  datasync(): void {
    this.#owner.check('sync', this.path)
    this.#inner.datasync()
  }

  sync(): void {
    this.#owner.check('sync', this.path)
    this.#inner.sync()
  }

  close(): void {
    this.#inner.close()
  }
}
