/** The machine's own file system. The only importer of node:fs for the store's durable files. */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statfsSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { lockDirectory } from './dir-lock.ts'
import type { DiskProbe } from './disk-space.ts'
import type { FileHandle, FileSystem, OpenMode } from './port.ts'

const FLAGS: Readonly<Record<OpenMode, string>> = {
  read: 'r',
  'read-write': 'r+',
  create: 'wx+',
}

class NodeFile implements FileHandle {
  readonly path: string
  readonly #fd: number

  constructor(path: string, fd: number) {
    this.path = path
    this.#fd = fd
  }

  size(): number {
    return fstatSync(this.#fd).size
  }

  read(target: Uint8Array, position: number): number {
    let done = 0
    while (done < target.length) {
      const count = readSync(this.#fd, target, done, target.length - done, position + done)
      if (count === 0) break
      done += count
    }
    return done
  }

  write(bytes: Uint8Array, position: number): void {
    let done = 0
    while (done < bytes.length) {
      done += writeSync(this.#fd, bytes, done, bytes.length - done, position + done)
    }
  }

  truncate(size: number): void {
    ftruncateSync(this.#fd, size)
  }

  datasync(): void {
    fdatasyncSync(this.#fd)
  }

  sync(): void {
    fsyncSync(this.#fd)
  }

  close(): void {
    closeSync(this.#fd)
  }
}

export const nodeFileSystem: FileSystem = {
  shared: true,
  open: (path, mode) => new NodeFile(path, openSync(path, FLAGS[mode])),
  exists: (path) => existsSync(path),
  list: (directory) => readdirSync(directory).sort(),
  makeDirectory: (directory) => {
    mkdirSync(directory, { recursive: true })
  },
  rename: (from, to) => renameSync(from, to),
  remove: (path) => unlinkSync(path),
  syncDirectory: (directory) => {
    const fd = openSync(directory, 'r')
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  },
  lockDirectory,
}

export const nodeDiskProbe: DiskProbe = {
  measure: (directory) => {
    const { bsize, blocks, bavail } = statfsSync(directory)
    return { totalBytes: blocks * bsize, freeBytes: bavail * bsize }
  },
}
