/** `polyraft pd`: the placement driver. */
import { resolve } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { isWildcard, parseAddress } from '../../base/address.ts'
import { PolyraftError } from '../../base/errors.ts'
import { SCHEDULE_DEFAULT, STORE_DOWN_MS_MIN } from '../../pd/schedule-config.ts'
import { addressText } from '../cli/options.ts'
import { LOG_LEVELS, type LogLevel } from '../log-levels.ts'
import { formatDuration, parseDuration } from '../units.ts'
import { WrongUsage } from '../wrong-usage.ts'

interface PdFlags {
  readonly dataDir: string
  readonly clientAddr: string
  readonly advertiseClientAddr?: string
  readonly initialStores?: number
  readonly regions?: number
  readonly replicas?: number
  readonly maxStoreDownTime: number
  readonly etcd?: string
  readonly logLevel: LogLevel
  readonly logFile: string
}

export function register(program: Command): void {
  program
    .command('pd')
    .description('run the placement driver')
    .option('--data-dir <dir>', 'directory of its state', './polyraft-pd')
    .option(
      '--client-addr <host:port>',
      'where stores and clients reach it',
      addressText,
      '127.0.0.1:2379',
    )
    .option('--advertise-client-addr <host:port>', 'what they are told', addressText)
    .option('--initial-stores <n>', 'wait for n stores, then begin as the next two say', count)
    .option('--regions <n>', 'regions that the cluster begins with (default: 1)', count)
    .option('--replicas <n>', 'replicas of each of them (default: 3)', count)
    .addOption(
      new Option(
        '--max-store-down-time <time>',
        'replace the replicas of a store that is silent for so long',
      )
        .argParser(downTime)
        .default(SCHEDULE_DEFAULT.maxStoreDownMs, '30m'),
    )
    .option('--etcd <urls>', 'keep the state in etcd')
    .addOption(
      new Option('--log-level <level>', 'what is worth a line').choices(LOG_LEVELS).default('info'),
    )
    .option('--log-file <file>', 'JSON log lines go here instead of standard error', '')
    .action(run)
}

function count(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError('a whole number from 1 on')
  return Number(text)
}

function downTime(text: string): number {
  const ms = parseDuration(text)
  if (ms === undefined || ms > Number.MAX_SAFE_INTEGER)
    throw new InvalidArgumentError('a time with its unit: write 30s or 30m')
  if (ms < STORE_DOWN_MS_MIN) {
    const least = formatDuration(STORE_DOWN_MS_MIN)
    throw new InvalidArgumentError(
      `at least ${least}: a store is heard every 10s, and is disconnected before it is down`,
    )
  }
  return ms
}

async function run(flags: PdFlags): Promise<void> {
  mustMakeSense(flags)
  if (flags.etcd !== undefined) {
    throw new PolyraftError(
      'Unsupported',
      '--etcd is not supported yet: leave it out, PD then keeps its state in --data-dir',
    )
  }
  mustNotLogIntoJournal(flags)
  const { openLogger } = await import('../log.ts')
  const { makeDataDir, mustNotBeOthers } = await import('../../base/data-dir.ts')
  const { runProcess } = await import('../process-life.ts')
  const { startPd } = await import('../../pd/server.ts')
  const { lockDataDirectory } = await import('../../env/data-dir.ts')
  const { machineClock, machineRandom } = await import('../../base/node-clock.ts')
  mustNotBeOthers(flags.dataDir, 'pd')
  await makeDataDir(flags.dataDir, '--data-dir')
  const logger = openLogger(flags.logLevel, flags.logFile)
  await runProcess(logger, () =>
    startPd({
      dir: flags.dataDir,
      clientAddr: flags.clientAddr,
      advertiseClientAddr: flags.advertiseClientAddr,
      plan: planOf(flags),
      schedule: { maxStoreDownMs: flags.maxStoreDownTime },
      lock: async (dir) => {
        const lock = await lockDataDirectory(dir)
        return () => lock.release()
      },
      clock: machineClock,
      random: machineRandom,
      logger,
    }),
  )
}

function mustMakeSense(flags: PdFlags): void {
  const { initialStores, regions, replicas, clientAddr, advertiseClientAddr } = flags
  if (initialStores === undefined && (regions ?? replicas) !== undefined) {
    const flag = regions === undefined ? '--replicas' : '--regions'
    throw new WrongUsage(
      `${flag} is for a cluster that is told how many stores it begins with: add --initial-stores`,
    )
  }
  if (isWildcard(parseAddress(clientAddr).host) && advertiseClientAddr === undefined) {
    throw new WrongUsage(
      '--advertise-client-addr is needed when --client-addr listens on every interface',
    )
  }
}

/** PD's journal is called pd.log: log lines in it would be damage. */
function mustNotLogIntoJournal({ dataDir, logFile }: PdFlags): void {
  if (logFile === '' || resolve(logFile) !== resolve(dataDir, 'pd.log')) return
  throw new PolyraftError(
    'ConfigInvalid',
    `${logFile} (--log-file) is where PD keeps its data: choose another name`,
  )
}

/** Without one the first store begins with one region, on itself. */
function planOf({ initialStores: stores, regions = 1, replicas = 3 }: PdFlags) {
  return stores === undefined ? undefined : { stores, regions, replicas }
}
