/** `polyraft server`: one storage node. */
import type { Command } from 'commander'
import { type CliIo, processIo } from '../cli/cli-io.ts'
import { print } from '../cli/output.ts'
import { runCommand } from '../cli/run.ts'
import type { LoadedConfig } from '../config.ts'

/** Flag → setting that it overrides. */
const FLAG_SETTINGS = {
  addr: 'server.addr',
  advertiseAddr: 'server.advertise-addr',
  peerAddr: 'server.peer-addr',
  advertisePeerAddr: 'server.advertise-peer-addr',
  statusAddr: 'server.status-addr',
  advertiseStatusAddr: 'server.advertise-status-addr',
  dataDir: 'storage.data-dir',
  pdEndpoints: 'pd.endpoints',
  labels: 'server.labels',
  logLevel: 'log.level',
  logFile: 'log.file.filename',
} as const

type Flags = { readonly [Flag in keyof typeof FLAG_SETTINGS]?: string }

interface ServerFlags extends Flags {
  readonly config?: string
  readonly configCheck?: boolean
  readonly printSampleConfig?: boolean
}

export function register(program: Command, io: CliIo = processIo): void {
  program
    .command('server')
    .description('run one storage node')
    .option('-C, --config <file>', 'TOML file; flags win over it')
    .option('--addr <host:port>', 'where clients reach this store (default 127.0.0.1:20160)')
    .option('--advertise-addr <host:port>', 'what clients are told')
    .option('--peer-addr <host:port>', 'where other stores reach this one (default: a free port)')
    .option('--advertise-peer-addr <host:port>', 'what other stores are told')
    .option('--status-addr <host:port>', 'HTTP status and metrics (default 127.0.0.1:20180)')
    .option('--advertise-status-addr <host:port>', 'what PD is told')
    .option('--data-dir <dir>', 'directory of this store alone (default ./polyraft-store)')
    .option('--pd-endpoints <a,b>', 'placement drivers (default 127.0.0.1:2379)')
    .option('--labels <k=v,…>', 'where the store is, such as zone=a,host=h1')
    .option('--log-level <level>', 'debug, info, warn, error or silent')
    .option('--log-file <file>', 'JSON log lines go here instead of standard error')
    .option('--config-check', 'check the configuration and stop')
    .option('--print-sample-config', 'print a file with all settings and their defaults')
    .action((flags: ServerFlags) => run(io, flags))
}

async function run(io: CliIo, flags: ServerFlags): Promise<void> {
  if (flags.printSampleConfig === true) {
    const { sampleConfig } = await import('../config-sample.ts')
    await answer(io, sampleConfig())
    return
  }
  const { loadConfig } = await import('../config.ts')
  const overrides = Object.entries(FLAG_SETTINGS).map(([flag, name]) => [
    name,
    flags[flag as keyof Flags],
  ])
  const loaded = loadConfig({ file: flags.config, flags: Object.fromEntries(overrides) })
  if (flags.configCheck === true) await answer(io, 'the configuration is good\n')
  else await serve(loaded)
}

function answer(io: CliIo, text: string): Promise<void> {
  return runCommand(io, () => print(io.stdout, text))
}

async function serve(loaded: LoadedConfig): Promise<void> {
  const { openLogger } = await import('../log.ts')
  const { makeDataDir, mustNotBeOthers } = await import('../../base/data-dir.ts')
  const { runProcess } = await import('../process-life.ts')
  const { startNode } = await import('../store-process.ts')
  const { nodeParts } = await import('../node-parts.ts')
  const { VERSION } = await import('../version.ts')
  const { config } = loaded
  mustNotBeOthers(config.dataDir, 'store')
  await makeDataDir(config.dataDir, '--data-dir')
  const logger = openLogger(config.logLevel, config.logFile)
  await runProcess(logger, async (onFatal, signal) => {
    const parts = nodeParts
    const node = await startNode({ loaded, version: VERSION, logger, parts, onFatal, signal })
    const { address, statusAddress, peerAddress } = node
    logger.info({ address, statusAddress, peerAddress }, 'serving')
    return node
  })
}
