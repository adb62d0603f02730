/**
 * `polyraft ctl log-engine dump|verify|repair DIR`: the raft log of a store that does not run. DIR is
 * the store's data directory or its raft/ folder. All of them take the log's lock, so none can
 * meet a running store.
 */
import { basename, join } from 'node:path'
import { type Command, Option } from 'commander'
import { PolyraftError } from '../../base/errors.ts'
import { REJOIN } from '../../base/rejoin.ts'
import { nodeFileSystem as fs } from '../../env/node-fs.ts'
import { parseSegmentName } from '../../raftlog/format.ts'
import { applyRepair, planCut, planTailCut, type RepairPlan } from '../../raftlog/repair.ts'
import { type LogScan, scanLog } from '../../raftlog/scan.ts'
import type { CliIo } from '../cli/cli-io.ts'
import { parsePositive } from '../cli/options.ts'
import { print } from '../cli/output.ts'
import { formatCount } from '../cli/progress.ts'
import { EXIT_FAILED, runCommand } from '../cli/run.ts'
import { type DumpOptions, dump } from './ctl-log-engine-dump.ts'
import { describeLoss, describeScan } from './ctl-log-engine-text.ts'

interface RepairOptions {
  readonly cut?: string
  readonly yes?: boolean
}

export function registerLogEngine(ctl: Command, io: CliIo): void {
  const tool = ctl.command('log-engine').description('the raft log of a store that does not run')
  tool
    .command('dump <dir>')
    .description('segments, regions and their entries; with --blocks or --region every block')
    .addOption(
      new Option('-w, --write <format>', 'output').choices(['table', 'json']).default('table'),
    )
    .option('--region <id>', 'this region alone', parsePositive)
    .option('--blocks', 'every block of every segment')
    .action((dir: string, options: DumpOptions) =>
      runOffline(io, dir, (log) => dump(io, log, options)),
    )
  tool
    .command('verify <dir>')
    .description('read everything; exit 1 when anything is damaged')
    .action((dir: string) => runOffline(io, dir, (log) => verify(io, log)))
  tool
    .command('repair <dir>')
    .description('cut off an unfinished write; with --cut also everything behind a damage')
    .option('--cut <file@offset>', 'a damage as verify tells it: everything behind it is removed')
    .option('--yes', 'cut; without it --cut only tells what would be lost')
    .action((dir: string, options: RepairOptions) =>
      runOffline(io, dir, (log) => repair(io, log, options)),
    )
}

function runOffline(io: CliIo, dir: string, use: (log: string) => Promise<void>): Promise<void> {
  return runCommand(io, async () => {
    const log = mustFindLog(dir)
    const lock = await fs.lockDirectory(log)
    try {
      await use(log)
    } finally {
      await lock.release()
    }
  })
}

function mustFindLog(dir: string): string {
  for (const each of [dir, join(dir, 'raft')]) {
    if (!fs.exists(each)) continue
    if (fs.list(each).some((name) => parseSegmentName(name) !== undefined)) return each
  }
  throw new PolyraftError(
    'NotFound',
    `${dir} holds no raft log: give a store's data directory or its raft/ folder`,
    { dir },
  )
}

async function verify(io: CliIo, log: string): Promise<void> {
  const scan = scanLog(fs, log)
  await print(io.stdout, describeScan(scan))
  if (isDamaged(scan)) io.setExitCode(EXIT_FAILED)
}

function isDamaged(scan: LogScan): boolean {
  return scan.damages.length > 0 || scan.brokenRegions.length > 0
}

async function repair(io: CliIo, log: string, options: RepairOptions): Promise<void> {
  const scan = scanLog(fs, log)
  await print(io.stdout, describeScan(scan))
  if (options.cut !== undefined) {
    await cutDamage(io, log, scan, options.cut, options.yes === true)
    return
  }
  if (isDamaged(scan)) {
    throw new PolyraftError(
      'Corruption',
      `nothing was changed: what is damaged was acknowledged once. It is best ${REJOIN}. To see what ` +
        `a cut would lose: ${example(scan)}`,
    )
  }
  const plan = planTailCut(scan)
  if (plan.cuts.length === 0) await print(io.stdout, 'nothing to repair\n')
  else await apply(io, log, plan)
}

function example(scan: LogScan): string {
  const damage = scan.damages[0]
  return damage === undefined ? 'none helps' : `--cut ${basename(damage.path)}@${damage.offset}`
}

async function cutDamage(
  io: CliIo,
  log: string,
  scan: LogScan,
  where: string,
  yes: boolean,
): Promise<void> {
  const damage = scan.damages.find((each) => `${basename(each.path)}@${each.offset}` === where)
  if (damage === undefined) {
    throw new PolyraftError(
      'InvalidArgument',
      `--cut ${where} is no damage that was found: give one as verify prints it`,
    )
  }
  const plan = planCut(fs, log, scan, damage)
  await print(io.stdout, describeLoss(plan))
  if (yes) await apply(io, log, plan)
  else await print(io.stdout, 'nothing was changed; add --yes to cut\n')
}

async function apply(io: CliIo, log: string, plan: RepairPlan): Promise<void> {
  const backup = applyRepair(fs, log, plan)
  const files = formatCount(plan.cuts.length, 'file')
  await print(io.stdout, `cut ${files}; as they were before: ${backup}\n`)
}
