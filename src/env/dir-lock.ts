/**
 * One process per data directory. Node has no flock, and a pid in a file cannot be taken over
 * safely by two starters at once, so the kernel keeps the lock:
 *
 *   Linux   an abstract socket named by the directory's device and inode. Binding it is exclusive,
 *           also within a process, and it is gone the moment its process is, even by kill -9.
 *           The directory is kept open too: else its inode could be given to another directory
 *           after it was deleted under its holder. Holders in other network namespaces (containers)
 *           do not see each other.
 *   macOS   `LOCK` itself, opened with O_EXLOCK.
 *
 * The file `LOCK` names the holder's pid for people and for the error; it is never removed and its
 * content decides nothing.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { PolyraftError, systemErrorCode } from '../base/errors.ts'
import type { DirectoryLock } from './port.ts'

const LOCK_FILE = 'LOCK'
/** BSD open flag: flock(LOCK_EX) as part of open. */
const O_EXLOCK = 0x20

export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  if (process.platform === 'linux') return lockBySocket(directory)
  if (process.platform === 'darwin') return lockByOpen(directory)
  throw new PolyraftError(
    'Unsupported',
    `data directories cannot be locked on ${process.platform}: run on Linux or macOS`,
  )
}

async function lockBySocket(directory: string): Promise<DirectoryLock> {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  const stat = fstatSync(fd, { bigint: true })
  const server = createServer((socket) => socket.destroy())
  try {
    await listen(server, `\0polyraft-${stat.dev.toString(16)}-${stat.ino.toString(16)}`)
  } catch (error) {
    closeSync(fd)
    if (systemErrorCode(error) === 'EADDRINUSE') throw locked(directory)
    throw error
  }
  server.unref()
  writePid(directory)
  let held = true
  return {
    release: async () => {
      if (!held) return
      held = false
      await new Promise<void>((resolve) => server.close(() => resolve()))
      closeSync(fd)
    },
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ path, exclusive: true }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function lockByOpen(directory: string): DirectoryLock {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK | O_EXLOCK
  let fd: number
  try {
    fd = openSync(join(directory, LOCK_FILE), flags)
  } catch (error) {
    if (systemErrorCode(error) === 'EAGAIN') throw locked(directory)
    throw error
  }
  writePid(directory)
  let held = true
  return {
    release: async () => {
      if (held) closeSync(fd)
      held = false
    },
  }
}

/** A store must start on a full disk too, or it could never free any of it. */
function writePid(directory: string): void {
  try {
    writeFileSync(join(directory, LOCK_FILE), `${process.pid}\n`)
  } catch (error) {
    const code = systemErrorCode(error)
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error
  }
}

function readPid(directory: string): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(join(directory, LOCK_FILE), 'utf8'), 10)
    return Number.isNaN(pid) ? undefined : pid
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

function locked(directory: string): PolyraftError {
  const pid = readPid(directory)
  const holder = pid === undefined ? 'another process' : `process ${pid}`
  return new PolyraftError(
    'DataDirLocked',
    `${directory} is in use by ${holder}: stop it, or choose another data directory`,
    { directory, pid },
  )
}
