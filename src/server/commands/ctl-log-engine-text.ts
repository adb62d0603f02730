/** What `ctl log-engine verify` and `repair` say to people. */
import { basename } from 'node:path'
import type { RegionId } from '../../base/ids.ts'
import type { RegionLoss, RegionView, RepairPlan } from '../../raftlog/repair.ts'
import type { LogScan } from '../../raftlog/scan.ts'
import { formatCount } from '../cli/progress.ts'

const REGIONS_SHOWN_MAX = 20

export function describeScan(scan: LogScan): string {
  const lines = scan.damages.map(
    ({ path, offset, why }) => `damaged: ${basename(path)}@${offset}: ${why}`,
  )
  if (scan.brokenRegions.length > 0) lines.push(describeBroken(scan.brokenRegions))
  for (const { path, offset, torn } of scan.tails) {
    const what = `${formatCount(torn, 'byte')} that were never acknowledged`
    lines.push(`unfinished: ${basename(path)}@${offset}: ${what}; a start cuts them off`)
  }
  for (const path of scan.unborn) {
    lines.push(`unfinished: ${basename(path)}: its creation was interrupted; a start removes it`)
  }
  const whole = scan.damages.length === 0 && scan.brokenRegions.length === 0
  const sum = [
    formatCount(scan.segments.length, 'segment'),
    formatCount(scan.blocks, 'block'),
    formatCount(scan.regions.size, 'region'),
  ]
  lines.push(`${whole ? 'whole' : 'damaged'}: ${sum.join(', ')}`)
  return `${lines.join('\n')}\n`
}

function describeBroken(regionIds: readonly RegionId[]): string {
  const shown = regionIds.slice(0, REGIONS_SHOWN_MAX).join(', ')
  const more = regionIds.length > REGIONS_SHOWN_MAX ? ', …' : ''
  const count = formatCount(regionIds.length, 'region')
  return `damaged: ${count} whose state or first entries are in no segment: ${shown}${more}`
}

export function describeLoss(plan: RepairPlan): string {
  const lines = plan.cuts.map(({ path, end, bytes }) =>
    end === undefined
      ? `removes ${basename(path)}, ${formatCount(bytes, 'byte')}`
      : `cuts ${basename(path)} at ${end}, ${formatCount(bytes, 'byte')}`,
  )
  const blocks = formatCount(plan.blocksLost, 'block')
  lines.push(`loses ${blocks} that can still be read, and what is damaged before them`)
  for (const loss of plan.losses.slice(0, REGIONS_SHOWN_MAX)) lines.push(describeRegion(loss))
  const more = plan.losses.length - REGIONS_SHOWN_MAX
  if (more > 0) lines.push(`and ${formatCount(more, 'region')} more`)
  lines.push(
    'This store promised the cluster to keep what goes. When it comes back without it, the cluster',
    'may lose acknowledged writes or elect two leaders: do it only if no quorum is left without it.',
  )
  return `${lines.join('\n')}\n`
}

function describeRegion({ regionId, before, after }: RegionLoss): string {
  return `region ${regionId}: now ${view(before)}; then ${view(after)}`
}

function view(region: RegionView | undefined): string {
  if (region === undefined) return 'not in the log'
  const { hardState, firstIndex, lastIndex } = region
  const entries = lastIndex < firstIndex ? 'no entries' : `entries ${firstIndex}-${lastIndex}`
  return `${entries}, term ${hardState.term}, vote ${hardState.vote}, commit ${hardState.commit}`
}
