/** `polyraft ctl config show|set`: what PD is told about the whole cluster. */
import type { Command } from 'commander'
import type { PdAdmin } from '../../pd/admin-port.ts'
import type { CliIo } from '../cli/cli-io.ts'
import { parsePositive } from '../cli/options.ts'
import { jsonText, print } from '../cli/output.ts'
import { formatFields } from '../cli/table.ts'
import { formatDuration } from '../units.ts'
import { type CtlOptions, ctlCommand, runAdmin } from './ctl-command.ts'

export function registerConfig(config: Command, io: CliIo): void {
  ctlCommand(config, 'show', 'settings of the cluster').action((options: CtlOptions) =>
    runAdmin(io, options, (admin) => printSettings(io, admin, options)),
  )
  const set = config.command('set').description('change a setting, for good')
  ctlCommand(set, 'replicas', 'voters that each region should have')
    .argument('<count>', 'a whole number, better an odd one', parsePositive)
    .action((count: number, options: CtlOptions) =>
      runAdmin(io, options, async (admin) => {
        await admin.setReplicas(count)
        await printSettings(io, admin, options)
      }),
    )
}

async function printSettings(io: CliIo, admin: PdAdmin, options: CtlOptions): Promise<void> {
  const { replicas, maxStoreDownMs } = await admin.settings()
  const text =
    options.write === 'json'
      ? jsonText({ replicas, maxStoreDownMs })
      : formatFields([
          ['replicas', String(replicas)],
          ['max-store-down-time', formatDuration(maxStoreDownMs)],
        ])
  await print(io.stdout, text)
}
