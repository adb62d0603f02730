/** `polyraft ctl`: looking at a cluster through PD and the stores' status pages. */
import { type Command, Option } from 'commander'
import { PolyraftError } from '../../base/errors.ts'
import type { PdClient, RegionInfo } from '../../pd/port.ts'
import { type CliIo, processIo } from '../cli/cli-io.ts'
import { findProblems, viewCluster } from '../cli/cluster-view.ts'
import { decodeText, type EncodingOptions, encodingOf } from '../cli/encoding.ts'
import { addConnectOptions, parsePositive } from '../cli/options.ts'
import { print } from '../cli/output.ts'
import { formatCount } from '../cli/progress.ts'
import { type ConnectOptions, EXIT_FAILED, runCommand, withPd } from '../cli/run.ts'
import { registerLogEngine } from './ctl-log-engine.ts'
import { printRegion, printRegions } from './ctl-regions.ts'
import { printStores } from './ctl-stores.ts'

export interface CtlOptions extends ConnectOptions {
  readonly write: 'table' | 'json'
}

export function registerCtl(program: Command, io: CliIo = processIo): void {
  const ctl = program.command('ctl').description('look at and administer a cluster')
  const store = ctl.command('store').description('storage nodes')
  ctlCommand(store, 'list', 'all stores').action((options: CtlOptions) =>
    runPd(io, options, (pd) => printStores(io, pd, options)),
  )
  registerRegion(ctl.command('region').description('regions and their replicas'), io)
  ctlCommand(ctl, 'health', 'exit 0 when every region has a leader and its replicas').action(
    (options: CtlOptions) => runPd(io, options, (pd) => health(io, pd, options)),
  )
  registerLogEngine(ctl, io)
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
      runPd(io, options, async (pd) => {
        const key = decodeText(text, encodingOf(options))
        await printRegion(io, pd, mustFind(await pd.getRegion(key), `key ${text}`), options)
      }),
    )
}

function ctlCommand(parent: Command, usage: string, description: string): Command {
  return addConnectOptions(parent.command(usage).description(description)).addOption(
    new Option('-w, --write <format>', 'output').choices(['table', 'json']).default('table'),
  )
}

function runPd(
  io: CliIo,
  options: CtlOptions,
  use: (pd: PdClient) => Promise<void>,
): Promise<void> {
  return runCommand(io, () => withPd(io, options, use))
}

function mustFind(info: RegionInfo | undefined, what: string): RegionInfo {
  if (info === undefined) throw new PolyraftError('NotFound', `PD knows no region for ${what}`)
  return info
}

async function health(io: CliIo, pd: PdClient, options: CtlOptions): Promise<void> {
  const view = await viewCluster(pd, Date.now())
  const problems = findProblems(view)
  const catchingUp = view.regions.reduce((sum, info) => sum + info.pendingPeers.length, 0)
  const counts = { stores: view.stores.length, regions: view.regions.length, catchingUp }
  if (options.write === 'json') {
    const report = { healthy: problems.length === 0, ...counts, problems }
    await print(io.stdout, `${JSON.stringify(report, null, 2)}\n`)
  } else if (problems.length === 0) {
    const size = `${formatCount(counts.regions, 'region')} on ${formatCount(counts.stores, 'store')}`
    const note = catchingUp === 0 ? '' : `, ${formatCount(catchingUp, 'replica')} catching up`
    await print(io.stdout, `healthy: ${size}${note}\n`)
  } else {
    await print(io.stdout, problems.map((problem) => `unhealthy: ${problem}\n`).join(''))
  }
  if (problems.length > 0) io.setExitCode(EXIT_FAILED)
}
