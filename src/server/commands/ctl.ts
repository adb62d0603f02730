/** `polyraft ctl`: looking at a cluster, and administering it, through PD and the status pages. */
import { type Command, Option } from 'commander'
import { PolyraftError } from '../../base/errors.ts'
import type { RegionInfo } from '../../pd/port.ts'
import { type CliIo, processIo } from '../cli/cli-io.ts'
import { decodeText, type EncodingOptions, encodingOf } from '../cli/encoding.ts'
import { parsePositive } from '../cli/options.ts'
import { runCommand, withPd } from '../cli/run.ts'
import { type CtlOptions, ctlCommand, runAdmin, runBoth, runPd } from './ctl-command.ts'
import { registerConfig } from './ctl-config.ts'
import { printHealth } from './ctl-health.ts'
import { registerLogEngine } from './ctl-log-engine.ts'
import { registerOperator } from './ctl-operators.ts'
import { printRegion, printRegions } from './ctl-regions.ts'
import { type DeleteOptions, deleteStore, printStore, printStores } from './ctl-stores.ts'

export function registerCtl(program: Command, io: CliIo = processIo): void {
  const ctl = program.command('ctl').description('look at and administer a cluster')
  registerStore(ctl.command('store').description('storage nodes'), io)
  registerRegion(ctl.command('region').description('regions and their replicas'), io)
  ctlCommand(ctl, 'health', 'exit 0 when every region has a leader and its replicas').action(
    (options: CtlOptions) =>
      runBoth(io, options, (pd, admin) => printHealth(io, pd, admin, options)),
  )
  registerConfig(ctl.command('config').description('settings of the cluster'), io)
  registerOperator(ctl.command('operator').description('changes of replicas under way'), io)
  registerLogEngine(ctl, io)
}

function registerStore(store: Command, io: CliIo): void {
  ctlCommand(store, 'list', 'all stores').action((options: CtlOptions) =>
    runBoth(io, options, (pd, admin) => printStores(io, pd, admin, options)),
  )
  ctlCommand(store, 'show', 'one store, and how many regions it has')
    .argument('<id>', 'store id', parsePositive)
    .action((id: number, options: CtlOptions) =>
      runBoth(io, options, (pd, admin) => printStore(io, pd, admin, id, options)),
    )
  ctlCommand(store, 'delete', 'move its peers to other stores, then remove it for good')
    .argument('<id>', 'store id', parsePositive)
    .option(
      '--physically-destroyed',
      'its data is lost: replace its peers and free its address now',
    )
    .option('--force', 'also where data would be lost, or its peers have nowhere to go')
    .action((id: number, options: DeleteOptions) =>
      runAdmin(io, options, (admin) => deleteStore(io, admin, id, options)),
    )
}

function registerRegion(region: Command, io: CliIo): void {
  ctlCommand(region, 'list', 'all regions in the order of their keys')
    .option('--limit <count>', 'regions at most', parsePositive)
    .action((options: CtlOptions & { limit?: number }) =>
      runPd(io, options, (pd) => printRegions(io, pd, options)),
    )
  ctlCommand(region, 'show', 'one region, and what its replicas say')
    .argument('<id>', 'region id', parsePositive)
    .action((id: number, options: CtlOptions) =>
      runPd(io, options, async (pd) => {
        await printRegion(io, pd, mustFind(await pd.getRegionById(id), `id ${id}`), options)
      }),
    )
  ctlCommand(region, 'by-key <key>', 'the region that holds a key')
    .addOption(new Option('--hex', 'the key is hexadecimal').conflicts('base64'))
    .option('--base64', 'the key is base64')
    .action((text: string, options: CtlOptions & EncodingOptions) =>
      runCommand(io, async () => {
        const key = decodeText(text, encodingOf(options))
        await withPd(io, options, async (pd) => {
          await printRegion(io, pd, mustFind(await pd.getRegion(key), `key ${text}`), options)
        })
      }),
    )
}

function mustFind(info: RegionInfo | undefined, what: string): RegionInfo {
  if (info === undefined) throw new PolyraftError('NotFound', `PD knows no region for ${what}`)
  return info
}
