/** Everything a command touches outside of itself, so that tests can hand it something else. */
import type { Readable, Writable } from 'node:stream'
import { silentLogger } from '../../base/logger.ts'
import type { KvClient } from '../../client/kv-client.ts'
import type { PdAdmin } from '../../pd/admin-port.ts'
import type { PdClient } from '../../pd/port.ts'

export interface CliOutput extends Writable {
  readonly isTTY?: boolean
  /** Of a terminal; it changes when its window does. */
  readonly columns?: number
}

export interface CliIo {
  readonly stdin: Readable
  readonly stdout: CliOutput
  readonly stderr: CliOutput
  openKv(pd: readonly string[], timeoutMs: number): Promise<KvClient>
  openPd(pd: readonly string[], timeoutMs: number): Promise<PdClient>
  openAdmin(pd: readonly string[], timeoutMs: number): Promise<PdAdmin>
  /** Rejects when the page is not there or is not JSON. */
  fetchJson(url: string): Promise<unknown>
  setExitCode(code: number): void
}

const FETCH_TIMEOUT_MS = 2000

export const processIo: CliIo = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  // Loaded when they are needed, so that --help is quick.
  async openKv(pd, timeoutMs) {
    const { connect } = await import('../../client/connect.ts')
    return connect({ pd, timeoutMs })
  },
  async openPd(pd, timeoutMs) {
    const { connectPd } = await import('../../pd/grpc-client.ts')
    return connectPd(pd, { logger: silentLogger, timeoutMs })
  },
  async openAdmin(pd, timeoutMs) {
    const { connectPdAdmin } = await import('../../pd/admin-client.ts')
    return connectPdAdmin(pd, { logger: silentLogger, timeoutMs })
  },
  async fetchJson(url) {
    const response = await fetch(url, { signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) })
    if (!response.ok) throw new Error(`${url} answered ${response.status}`)
    return response.json()
  },
  setExitCode: (code) => {
    process.exitCode = code
  },
}
