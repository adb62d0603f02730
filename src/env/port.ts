/**
 * The only door to the disk. Calls are synchronous: they are made on threads that may wait (store
 * writers, snapshot worker, readers of old entries), at start-up, or by a simulator that has one thread
 * for everything.
 *
 * INVARIANTS
 * - write() wrote all bytes or threw; a read is short only at the end of the file.
 * - Bytes survive a power loss once sync() or datasync() returned, names once syncDirectory() did.
 * - Failures are thrown as system errors with a `code`: ENOENT, EEXIST, ENOSPC, EIO, …
 */

/** `create` fails when the file is there; the others fail when it is not. */
export type OpenMode = 'read' | 'read-write' | 'create'

export interface FileHandle {
  readonly path: string
  size(): number
  /** Fills `target` from `position`; answers the bytes read. */
  read(target: Uint8Array, position: number): number
  write(bytes: Uint8Array, position: number): void
  truncate(size: number): void
  /** Data, and the size where it grew. */
  datasync(): void
  /** Data and all metadata. */
  sync(): void
  close(): void
}

/** Exclusive use of a directory; ends with release() or with the process, however it ends. */
export interface DirectoryLock {
  release(): Promise<void>
}

export interface FileSystem {
  /** Other threads reach the same files through nodeFileSystem. */
  readonly shared: boolean
  open(path: string, mode: OpenMode): FileHandle
  exists(path: string): boolean
  /** Names in a directory, sorted. */
  list(directory: string): string[]
  /** With its parents; nothing when it is there. */
  makeDirectory(directory: string): void
  /** Replaces `to`. */
  rename(from: string, to: string): void
  remove(path: string): void
  syncDirectory(directory: string): void
  /** Rejects with DataDirLocked while another holder, in this process or elsewhere, has it. */
  lockDirectory(directory: string): Promise<DirectoryLock>
}

/** The whole file. */
export function readFile(fs: FileSystem, path: string): Buffer {
  const file = fs.open(path, 'read')
  try {
    const bytes = Buffer.allocUnsafeSlow(file.size())
    return bytes.subarray(0, file.read(bytes, 0))
  } finally {
    file.close()
  }
}
