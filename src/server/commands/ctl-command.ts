/** The frame of the `polyraft ctl` commands: their options, and their connections to PD. */
import { type Command, Option } from 'commander'
import type { PdAdmin } from '../../pd/admin-port.ts'
import type { PdClient } from '../../pd/port.ts'
import type { CliIo } from '../cli/cli-io.ts'
import { addConnectOptions } from '../cli/options.ts'
import { type ConnectOptions, runCommand, withAdmin, withPd } from '../cli/run.ts'

export interface CtlOptions extends ConnectOptions {
  readonly write: 'table' | 'json'
}

export function ctlCommand(parent: Command, usage: string, description: string): Command {
  return addConnectOptions(parent.command(usage).description(description)).addOption(
    new Option('-w, --write <format>', 'output').choices(['table', 'json']).default('table'),
  )
}

export function runPd(
  io: CliIo,
  options: CtlOptions,
  use: (pd: PdClient) => Promise<void>,
): Promise<void> {
  return runCommand(io, () => withPd(io, options, use))
}

export function runAdmin(
  io: CliIo,
  options: CtlOptions,
  use: (admin: PdAdmin) => Promise<void>,
): Promise<void> {
  return runCommand(io, () => withAdmin(io, options, use))
}

export function runBoth(
  io: CliIo,
  options: CtlOptions,
  use: (pd: PdClient, admin: PdAdmin) => Promise<void>,
): Promise<void> {
  return runPd(io, options, (pd) => withAdmin(io, options, (admin) => use(pd, admin)))
}
