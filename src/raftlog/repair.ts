/**
 * Offline repair. A torn tail can always go: nobody was told that it is durable, and a start cuts it
 * too. Everything else was acknowledged: cutting there makes this store forget entries and votes it
 * promised to keep, so it is done only when asked for by name, and only if the log opens afterwards.
 *
 *   stream 0   run 1 [====][==✗==][====]     run 2 [====]       ✗ = the damage
 *   stream 1   run 1 [====][=====]           run 2 [====]
 *   kept             [====][==           and [====][=====] of the other stream
 *
 * Within a run a region stays in one stream, so other streams keep that run. In later runs it may be
 * anywhere: they go altogether, or entries would come to stand on others than they were written on.
 *
 * INVARIANT: before anything is changed, a copy of every file that will change is fsynced.
 */
import { basename, join } from 'node:path'
import { assert } from '../base/assert.ts'
import { PolyraftError } from '../base/errors.ts'
import type { LogIndex, RegionId } from '../base/ids.ts'
import { REJOIN } from '../base/rejoin.ts'
import { type FileSystem, readFile } from '../env/port.ts'
import type { HardState } from '../raft/types.ts'
import { dropMark, parseMarkName } from './newest-mark.ts'
import type { RegionLog } from './region-log.ts'
import { type LogScan, type ScannedBlock, scanLog } from './scan.ts'
import type { Damage } from './segment-reader.ts'
import type { FoundSegment } from './stream-cursor.ts'

export interface FileCut {
  readonly path: string
  /** The file will end here; undefined: it will be removed. */
  readonly end: number | undefined
  readonly bytes: number
}

export interface RegionLoss {
  readonly regionId: RegionId
  /** undefined: the region is not in the log. */
  readonly before: RegionView | undefined
  readonly after: RegionView | undefined
}

export interface RegionView {
  readonly hardState: HardState
  readonly firstIndex: LogIndex
  readonly lastIndex: LogIndex
}

export interface RepairPlan {
  /** In the order in which they are to be made. */
  readonly cuts: readonly FileCut[]
  readonly losses: readonly RegionLoss[]
  /** Blocks that are whole and go nevertheless. */
  readonly blocksLost: number
}

/** What a start would cut, which loses nothing. */
export function planTailCut(scan: LogScan): RepairPlan {
  const cuts: FileCut[] = scan.unborn.map((path) => ({ path, end: undefined, bytes: 0 }))
  for (const { path, offset, torn } of scan.tails) cuts.push({ path, end: offset, bytes: torn })
  return { cuts, losses: [], blocksLost: 0 }
}

/** Cuts at a damage that the scan found. Throws Corruption where the log would not open after it. */
export function planCut(
  fs: FileSystem,
  directory: string,
  scan: LogScan,
  damage: Damage,
): RepairPlan {
  assert(scan.damages.includes(damage), 'the damage is one of the scan')
  const at = placeOf(scan, damage)
  let blocksLost = 0
  const kept = scanLog(fs, directory, {
    accept: (block) => {
      const keep = isKept(at, damage, block)
      if (!keep) blocksLost++
      return keep
    },
  })
  mustOpen(kept, scan, damage, at)
  const gone = [...scan.unborn, ...unreadable(scan)].filter((path) => fs.exists(path))
  const cuts: FileCut[] = gone.map((path) => ({ path, end: undefined, bytes: 0 }))
  for (const found of scan.segments) cuts.push(...cutOf(at, damage, found, kept))
  // Newest first: a stream never has a hole, however far this gets.
  cuts.sort((a, b) => (a.path < b.path ? 1 : -1))
  return { cuts, losses: lossesOf(scan, kept), blocksLost }
}

/** Answers the directory with the copies. The caller holds the lock of `directory`. */
export function applyRepair(fs: FileSystem, directory: string, plan: RepairPlan): string {
  const backup = freeName(fs, directory)
  fs.makeDirectory(backup)
  for (const { path } of plan.cuts) copyFile(fs, path, join(backup, basename(path)))
  fs.syncDirectory(backup)
  fs.syncDirectory(directory)
  // What goes is not to be missed by a start.
  for (const name of fs.list(directory)) {
    const stream = parseMarkName(name)
    if (stream !== undefined) dropMark(fs, directory, stream)
  }
  for (const { path, end } of plan.cuts) {
    if (end === undefined) fs.remove(path)
    else truncate(fs, path, end)
    fs.syncDirectory(directory)
  }
  return backup
}

/** Where the first lost byte is, in the order of streams, runs and segments. */
interface CutPlace {
  readonly stream: number
  readonly run: number
  readonly id: number
}

function placeOf(scan: LogScan, damage: Damage): CutPlace {
  const found = scan.segments.find((each) => each.path === damage.path)
  if (found !== undefined) return found.header
  // Its header is not to be read: the segment is where its name says, of the run before it.
  const name = basename(damage.path)
  const stream = Number(name.slice(0, 3))
  const id = Number(name.slice(4, 16))
  const before = scan.segments.findLast(({ header }) => header.stream === stream && header.id < id)
  return { stream, id, run: before?.header.run ?? 0 }
}

function isKept(at: CutPlace, damage: Damage, block: ScannedBlock): boolean {
  const { stream, run, id } = block.found.header
  if (stream !== at.stream) return run <= at.run
  return id < at.id || (id === at.id && block.end <= damage.offset)
}

function cutOf(at: CutPlace, damage: Damage, found: FoundSegment, kept: LogScan): FileCut[] {
  const { path, bytes, header } = found
  const left = kept.segments.find((each) => each.path === path)
  if (path === damage.path && damage.offset > 0 && left !== undefined) {
    return [{ path, end: left.end, bytes: bytes - left.end }]
  }
  const goes = header.stream === at.stream ? header.id >= at.id : header.run > at.run
  return goes ? [{ path, end: undefined, bytes }] : []
}

/** Segments whose header is damaged: all are behind the cut, or mustOpen had refused it. */
function unreadable(scan: LogScan): string[] {
  const known = new Set(scan.segments.map((each) => each.path))
  const paths = scan.damages.map(({ path }) => path).filter((path) => !known.has(path))
  return [...new Set(paths)]
}

function mustOpen(kept: LogScan, scan: LogScan, damage: Damage, at: CutPlace): void {
  const left = kept.damages.find((each) => !isBehind(at, damage, each, scan))
  if (left !== undefined) {
    throw refusal(damage, `${left.path} is damaged at offset ${left.offset} as well: cut there`)
  }
  if (kept.brokenRegions.length > 0) {
    const names = kept.brokenRegions.slice(0, 10).join(', ')
    throw refusal(damage, `the log would no longer hold all of region ${names}, and not open`)
  }
}

function isBehind(at: CutPlace, damage: Damage, other: Damage, scan: LogScan): boolean {
  const place = placeOf(scan, other)
  if (place.stream !== at.stream) return place.run > at.run
  return place.id > at.id || (place.id === at.id && other.offset >= damage.offset)
}

function refusal(damage: Damage, why: string): PolyraftError {
  return new PolyraftError(
    'Corruption',
    `cutting ${damage.path} at ${damage.offset} does not help: ${why}. ` +
      `If no cut helps: ${REJOIN}`,
    { path: damage.path, offset: damage.offset },
  )
}

function lossesOf(scan: LogScan, kept: LogScan): RegionLoss[] {
  const losses: RegionLoss[] = []
  const ids = new Set([...scan.regions.keys(), ...kept.regions.keys()])
  for (const regionId of [...ids].sort((a, b) => a - b)) {
    const before = viewOf(scan.regions.get(regionId))
    const after = viewOf(kept.regions.get(regionId))
    if (JSON.stringify(before) !== JSON.stringify(after)) losses.push({ regionId, before, after })
  }
  return losses
}

export function viewOf(region: RegionLog | undefined): RegionView | undefined {
  if (region === undefined) return undefined
  return { hardState: region.hardState, firstIndex: region.first, lastIndex: region.last }
}

function freeName(fs: FileSystem, directory: string): string {
  let number = 1
  while (fs.exists(join(directory, `cut-${number}`))) number++
  return join(directory, `cut-${number}`)
}

function copyFile(fs: FileSystem, from: string, to: string): void {
  const file = fs.open(to, 'create')
  try {
    file.write(readFile(fs, from), 0)
    file.sync()
  } finally {
    file.close()
  }
}

function truncate(fs: FileSystem, path: string, end: number): void {
  const file = fs.open(path, 'read-write')
  try {
    file.truncate(end)
    file.sync()
  } finally {
    file.close()
  }
}
