/** `polyraft ctl operator add|list|show|remove`: changes of replicas, asked for and watched. */
import type { Command } from 'commander'
import type { OperatorInfo } from '../../pd/admin-port.ts'
import type { PeerCommand } from '../../pd/checkers/peer-command.ts'
import type { CliIo } from '../cli/cli-io.ts'
import { parsePositive } from '../cli/options.ts'
import { jsonText, print } from '../cli/output.ts'
import { formatSeconds } from '../cli/progress.ts'
import { type Column, formatFields, formatTable } from '../cli/table.ts'
import { type CtlOptions, ctlCommand, runAdmin } from './ctl-command.ts'

const COLUMNS: readonly Column<OperatorInfo>[] = [
  { title: 'REGION', cell: ({ regionId }) => String(regionId), right: true },
  { title: 'REASON', cell: ({ reason }) => reason },
  { title: 'BY', cell: ({ origin }) => origin },
  {
    title: 'STEP',
    cell: ({ stepIndex, steps }) => `${stepIndex + 1}/${steps.length}`,
    right: true,
  },
  { title: 'DOING', cell: ({ stepIndex, steps }) => steps[stepIndex] ?? '-' },
  { title: 'FOR', cell: ({ stepAgeMs }) => formatSeconds(stepAgeMs / 1000), right: true },
]

export function registerOperator(operator: Command, io: CliIo): void {
  registerAdd(operator.command('add').description('change the replicas of a region'), io)
  ctlCommand(operator, 'list', 'all that are under way').action((options: CtlOptions) =>
    runAdmin(io, options, async (admin) => {
      const all = await admin.operators()
      await print(io.stdout, options.write === 'json' ? jsonText(all) : formatTable(COLUMNS, all))
    }),
  )
  ctlCommand(operator, 'show', 'the one of a region, under way or ended lately')
    .argument('<region>', 'region id', parsePositive)
    .action((regionId: number, options: CtlOptions) =>
      runAdmin(io, options, async (admin) => {
        await printOperator(io, await admin.operator(regionId), options)
      }),
    )
  ctlCommand(operator, 'remove', 'end the one of a region; the steps that it did stay done')
    .argument('<region>', 'region id', parsePositive)
    .action((regionId: number, options: CtlOptions) =>
      runAdmin(io, options, async (admin) => {
        await admin.removeOperator(regionId)
        const ended = await admin.operator(regionId)
        await printOperator(io, ended, options)
      }),
    )
}

function registerAdd(add: Command, io: CliIo): void {
  const start = (command: PeerCommand, options: CtlOptions): Promise<void> =>
    runAdmin(io, options, async (admin) => {
      await printOperator(io, await admin.addOperator(command), options)
    })
  const onStore = (kind: 'transfer-leader' | 'add-peer' | 'remove-peer', description: string) => {
    ctlCommand(add, kind, description)
      .argument('<region>', 'region id', parsePositive)
      .argument('<store>', 'store id', parsePositive)
      .action((regionId: number, storeId: number, options: CtlOptions) =>
        start({ kind, regionId, storeId }, options),
      )
  }
  onStore('transfer-leader', 'let the replica on a store lead the region')
  onStore('add-peer', 'another replica, on a store')
  onStore('remove-peer', 'one replica less, the one on a store')
  ctlCommand(add, 'transfer-peer', 'move a replica to another store')
    .argument('<region>', 'region id', parsePositive)
    .argument('<from>', 'store id', parsePositive)
    .argument('<to>', 'store id', parsePositive)
    .action((regionId: number, storeId: number, toStoreId: number, options: CtlOptions) =>
      start({ kind: 'transfer-peer', regionId, storeId, toStoreId }, options),
    )
}

async function printOperator(
  io: CliIo,
  operator: OperatorInfo,
  options: CtlOptions,
): Promise<void> {
  const text = options.write === 'json' ? jsonText(operator) : operatorText(operator)
  await print(io.stdout, text)
}

function operatorText(operator: OperatorInfo): string {
  const { steps, stepIndex, status, note } = operator
  const fields = formatFields([
    ['region', String(operator.regionId)],
    ['reason', operator.reason],
    ['by', operator.origin],
    ['status', note === '' ? status : `${status}: ${note}`],
    ['started', `${formatSeconds(operator.ageMs / 1000)} ago`],
  ])
  const lines = steps.map((step, i) => `${markOf(i, stepIndex, status)}  ${step}\n`)
  return `${fields}\n${lines.join('')}`
}

function markOf(index: number, stepIndex: number, status: OperatorInfo['status']): string {
  if (index < stepIndex) return 'done '
  return index === stepIndex && status === 'running' ? 'now  ' : '-    '
}
