/** `polyraft up`: a whole cluster on this machine. */
import { type Command, InvalidArgumentError } from 'commander'
import { type ClusterPlan, pdFlag } from '../cluster-plan.ts'
import { reportError } from '../report.ts'
import type { Supervisor } from '../supervisor.ts'

interface UpFlags {
  readonly stores?: number
  readonly dir: string
  readonly pdPort: number
  readonly storePort: number
  readonly statusPort: number
  readonly regions: number
  readonly restart: boolean
}

export function register(program: Command): void {
  program
    .command('up')
    .description('run a cluster on this machine: PD and some stores, on loopback')
    .option('--stores <n>', 'stores (default: what --dir has, else 3)', between(1, 1000))
    .option('--dir <dir>', 'data and logs; resumed if it has some', './polyraft-data')
    .option('--pd-port <port>', 'port of PD', between(0, 65_535), 2379)
    .option(
      '--store-port <port>',
      'of the first store, the others follow',
      between(0, 65_535),
      20160,
    )
    .option('--status-port <port>', 'likewise, for HTTP status', between(0, 65_535), 20180)
    .option('--regions <n>', 'regions of a new cluster', between(1, 24_320), 1)
    .option('--no-restart', 'leave a process that died as it is')
    .action(run)
}

function between(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= min && value <= max) return value
    throw new InvalidArgumentError(`a whole number from ${min} to ${max}`)
  }
}

async function run(flags: UpFlags): Promise<void> {
  const { planCluster } = await import('../cluster-plan.ts')
  const { Supervisor } = await import('../supervisor.ts')
  const plan = await planCluster({ ...flags, stores: flags.stores })
  const supervisor = new Supervisor({ plan, restart: flags.restart, onNotice: say })
  const stop = stopOnSignals(supervisor)
  const what = `${plan.stores.length} ${plan.stores.length === 1 ? 'store' : 'stores'} and PD`
  say(`${plan.resumed ? 'resuming' : 'starting'} ${what} in ${plan.dir}`)
  try {
    await supervisor.start()
  } catch (error) {
    await stop()
    throw error
  }
  say(renderTable(plan, supervisor))
  say(renderReady(plan))
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** The first signal stops the cluster, the second kills it. Answers with the graceful stop. */
function stopOnSignals(supervisor: Supervisor): () => Promise<void> {
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> => {
    stopping ??= supervisor.stop()
    return stopping
  }
  const onSignal = (): void => {
    if (stopping !== undefined) {
      supervisor.kill()
      process.exit(1)
    }
    say('stopping (once more to kill)')
    void stop().then(() => process.exit(0))
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal)
  // A terminal or pipe that went away must not take the cluster with it.
  process.stdout.on('error', () => {})
  // Our bug, but the processes must not outlive the one that could stop them.
  process.on('uncaughtException', (error) => {
    supervisor.kill()
    reportError(error)
    process.exit(1)
  })
  return stop
}

function renderTable(plan: ClusterPlan, supervisor: Supervisor): string {
  const rows = [['', 'id', 'pid', 'address', 'status', 'data']]
  rows.push(['pd', '', String(supervisor.pdPid), plan.pdAddress, '', plan.pdDir])
  for (const { id, pid, number, address, status, dir } of supervisor.stores()) {
    rows.push([`store ${number}`, String(id), String(pid), address, `http://${status}`, dir])
  }
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function renderReady(plan: ClusterPlan): string {
  const pd = pdFlag(plan)
  return `ready: PD on ${plan.pdAddress}; Ctrl-C stops everything. In another terminal:
  npx polyraft kv put hello world${pd}
  npx polyraft kv get hello${pd}
  npx polyraft ctl health${pd}`
}
