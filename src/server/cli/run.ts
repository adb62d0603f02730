/** The frame of every command: exit codes, one line for an error, connections that get closed. */
import { systemErrorCode } from '../../base/errors.ts'
import type { KvClient } from '../../client/kv-client.ts'
import type { PdAdmin } from '../../pd/admin-port.ts'
import type { PdClient } from '../../pd/port.ts'
import { describeError } from '../report.ts'
import { WrongUsage } from '../wrong-usage.ts'
import type { CliIo } from './cli-io.ts'

export const EXIT_FAILED = 1
const EXIT_WRONG_USAGE = 2

export interface ConnectOptions {
  readonly pd: readonly string[]
  readonly timeoutMs: number
}

/** Runs a command: what it throws becomes one line on stderr and exit code 1, or 2 for wrong usage. */
export async function runCommand(io: CliIo, command: () => Promise<void>): Promise<void> {
  try {
    await command()
  } catch (error) {
    // The reader of our output went away, as `head` does: nobody is left to be told.
    if (systemErrorCode(error) === 'EPIPE') return
    io.stderr.write(`${describeError(error)}\n`)
    io.setExitCode(error instanceof WrongUsage ? EXIT_WRONG_USAGE : EXIT_FAILED)
  }
}

export async function withKv(
  io: CliIo,
  options: ConnectOptions,
  use: (kv: KvClient) => Promise<void>,
): Promise<void> {
  const kv = await io.openKv(options.pd, options.timeoutMs)
  try {
    await use(kv)
  } finally {
    await kv.close()
  }
}

export async function withPd(
  io: CliIo,
  options: ConnectOptions,
  use: (pd: PdClient) => Promise<void>,
): Promise<void> {
  const pd = await io.openPd(options.pd, options.timeoutMs)
  try {
    await use(pd)
  } finally {
    await pd.close()
  }
}

export async function withAdmin(
  io: CliIo,
  options: ConnectOptions,
  use: (admin: PdAdmin) => Promise<void>,
): Promise<void> {
  const admin = await io.openAdmin(options.pd, options.timeoutMs)
  try {
    await use(admin)
  } finally {
    await admin.close()
  }
}
