/** `polyraft bench <suite>`: hands over to src/bench/<suite>.ts. */
import { type Command, InvalidArgumentError } from 'commander'
import { PolyraftError } from '../../base/errors.ts'
import type { BenchSuite } from '../../bench/suite.ts'

const SUITES: Readonly<Record<string, () => Promise<BenchSuite>>> = {
  raft: () => import('../../bench/raft.ts'),
  raftlog: () => import('../../bench/raftlog.ts'),
  engine: () => import('../../bench/engine.ts'),
  store: () => import('../../bench/store.ts'),
  cluster: () => import('../../bench/cluster.ts'),
  regions: () => import('../../bench/regions.ts'),
  snapshot: () => import('../../bench/snapshot.ts'),
}

interface BenchFlags {
  readonly json?: boolean
  readonly seconds?: number
}

export function register(program: Command): void {
  program
    .command('bench')
    .description(`measure: ${Object.keys(SUITES).join(', ')}`)
    .argument('<suite>')
    .argument('[args...]', 'for the suite')
    .option('--json', 'one JSON object a line')
    .option('--seconds <n>', 'length of each measurement', seconds)
    .action(run)
}

function seconds(text: string): number {
  const value = Number(text)
  if (!(value > 0 && value <= 86_400)) throw new InvalidArgumentError('seconds above 0')
  return value
}

async function run(suite: string, args: string[], flags: BenchFlags, command: Command) {
  const load = Object.hasOwn(SUITES, suite) ? SUITES[suite] : undefined
  if (load === undefined) {
    command.error(`polyraft: no suite "${suite}"; there are ${Object.keys(SUITES).join(', ')}`, {
      exitCode: 2,
    })
  }
  const { giveHeapRoom } = await import('../heap-room.ts')
  giveHeapRoom()
  const module = await load!()
  try {
    await module.run({ json: flags.json === true, seconds: flags.seconds, args })
  } catch (error) {
    if (!(error instanceof PolyraftError) || error.code !== 'InvalidArgument') throw error
    command.error(`polyraft: ${error.message}`, { exitCode: 2 })
  }
}
