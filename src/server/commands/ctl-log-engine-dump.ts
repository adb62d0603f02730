/** `polyraft ctl log-engine dump`: what the files hold, as tables or one JSON object a line. */
import { basename } from 'node:path'
import type { RegionId } from '../../base/ids.ts'
import { nodeFileSystem as fs } from '../../env/node-fs.ts'
import type { BlockItem } from '../../raftlog/block-items.ts'
import { type LogScan, type ScannedBlock, scanLog } from '../../raftlog/scan.ts'
import type { CliIo } from '../cli/cli-io.ts'
import { Output } from '../cli/output.ts'
import { type Column, formatTable } from '../cli/table.ts'

export interface DumpOptions {
  readonly write: 'table' | 'json'
  readonly region?: RegionId
  readonly blocks?: boolean
}

interface BlockRow {
  readonly segment: string
  readonly offset: number
  readonly bytes: number
  readonly number: number
  readonly sequence: number
  readonly items: readonly object[]
}

/** Rows held in memory at most: a table pads its columns, so it needs all of them. */
const BLOCK_ROWS_CHUNK = 1000

type Row = ReturnType<typeof segmentRow> | ReturnType<typeof regionRow> | BlockRow | object

export async function dump(io: CliIo, log: string, options: DumpOptions): Promise<void> {
  const output = new Output(io.stdout)
  const blocks: BlockRow[] = []
  const chunks: string[] = []
  const json = options.write === 'json'
  const endChunk = (): void => {
    if (blocks.length === 0) return
    chunks.push(json ? jsonLines('block', blocks) : `${formatTable(BLOCK_COLUMNS, blocks)}\n`)
    blocks.length = 0
  }
  const wanted = options.blocks === true || options.region !== undefined
  const scan = scanLog(fs, log, {
    onBlock: (block) => {
      const items = block.items.filter(({ regionId }) => isAsked(options, regionId))
      if (!wanted || items.length === 0) return
      blocks.push(blockRow(block, items))
      if (blocks.length === BLOCK_ROWS_CHUNK) endChunk()
    },
  })
  endChunk()
  const [before, after] = around(scan, options)
  for (const text of [before, ...chunks, after]) await output.write(text)
  await output.flush()
}

/** What stands before and behind the blocks. */
function around(scan: LogScan, options: DumpOptions): [string, string] {
  const segments = scan.segments.map(segmentRow)
  const regions = [...scan.regions.keys()]
    .filter((regionId) => isAsked(options, regionId))
    .sort((a, b) => a - b)
    .map((regionId) => regionRow(scan, regionId))
  const damages = scan.damages.map(({ path, offset, why }) => ({
    segment: basename(path),
    offset,
    why,
  }))
  if (options.write === 'json') {
    return [
      jsonLines('segment', segments),
      jsonLines('region', regions) + jsonLines('damage', damages),
    ]
  }
  const notes = damages.map((each) => `damaged: ${each.segment}@${each.offset}: ${each.why}\n`)
  return [
    `${formatTable(SEGMENT_COLUMNS, segments)}\n`,
    formatTable(REGION_COLUMNS, regions) + notes.join(''),
  ]
}

function isAsked(options: DumpOptions, regionId: RegionId): boolean {
  return options.region === undefined || options.region === regionId
}

function jsonLines(kind: string, rows: readonly Row[]): string {
  return rows.map((row) => `${JSON.stringify({ kind, ...row })}\n`).join('')
}

function segmentRow(segment: LogScan['segments'][number]) {
  const { header, path, bytes, blocks, end, firstSequence, lastSequence } = segment
  const { stream, id, run, version } = header
  const name = basename(path)
  return { name, stream, id, run, version, bytes, end, blocks, firstSequence, lastSequence }
}

function regionRow(scan: LogScan, regionId: RegionId) {
  const region = scan.regions.get(regionId)!
  let bytes = 0
  for (let index = region.first; index <= region.last; index++) {
    bytes += region.index.dataBytes(index)
  }
  return {
    regionId,
    ...region.hardState,
    truncatedIndex: region.first - 1,
    truncatedTerm: region.truncatedTerm,
    firstIndex: region.first,
    lastIndex: region.last,
    entries: region.index.count,
    bytes,
    oldestSegment: region.index.count === 0 ? '' : region.index.segment(region.first).name,
    stateSegment: region.stateSegment?.name ?? '',
    whole: !scan.brokenRegions.includes(regionId),
  }
}

function blockRow(block: ScannedBlock, items: readonly BlockItem[]): BlockRow {
  const { number, sequence } = block.header
  return {
    segment: basename(block.found.path),
    offset: block.offset,
    bytes: block.end - block.offset,
    number,
    sequence,
    items: items.map(itemView),
  }
}

function itemView(item: BlockItem): object {
  const { regionId, reset, state, firstIndex, terms, lengths } = item
  const entries = lengths.length > 0
  return {
    regionId,
    ...(reset ? { [state === undefined ? 'removed' : 'reset']: true } : {}),
    ...(state === undefined ? {} : { ...state.hardState, truncatedIndex: state.truncatedIndex }),
    ...(entries ? { firstIndex, lastIndex: firstIndex + lengths.length - 1 } : {}),
    ...(entries ? { terms: `${terms[0]}-${terms.at(-1)}` } : {}),
    ...(entries ? { entryBytes: lengths.reduce((sum, length) => sum + length, 0) } : {}),
  }
}

function itemText(item: object): string {
  return Object.entries(item)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(' ')
}

const SEGMENT_COLUMNS: readonly Column<ReturnType<typeof segmentRow>>[] = [
  { title: 'SEGMENT', cell: (row) => row.name },
  { title: 'RUN', cell: (row) => String(row.run), right: true },
  { title: 'BYTES', cell: (row) => String(row.bytes), right: true },
  { title: 'BLOCKS', cell: (row) => String(row.blocks), right: true },
  { title: 'SEQUENCES', cell: (row) => `${row.firstSequence}-${row.lastSequence}` },
]

const BLOCK_COLUMNS: readonly Column<BlockRow>[] = [
  { title: 'SEGMENT', cell: (row) => row.segment },
  { title: 'OFFSET', cell: (row) => String(row.offset), right: true },
  { title: 'BYTES', cell: (row) => String(row.bytes), right: true },
  { title: 'BLOCK', cell: (row) => String(row.number), right: true },
  { title: 'SEQUENCE', cell: (row) => String(row.sequence), right: true },
  { title: 'ITEMS', cell: (row) => row.items.map(itemText).join('; ') },
]

const REGION_COLUMNS: readonly Column<ReturnType<typeof regionRow>>[] = [
  { title: 'REGION', cell: (row) => String(row.regionId), right: true },
  { title: 'TERM', cell: (row) => String(row.term), right: true },
  { title: 'VOTE', cell: (row) => String(row.vote), right: true },
  { title: 'COMMIT', cell: (row) => String(row.commit), right: true },
  { title: 'TRUNCATED', cell: (row) => `${row.truncatedIndex}@${row.truncatedTerm}` },
  { title: 'ENTRIES', cell: (row) => (row.entries ? `${row.firstIndex}-${row.lastIndex}` : '-') },
  { title: 'BYTES', cell: (row) => String(row.bytes), right: true },
  { title: 'OLDEST', cell: (row) => row.oldestSegment || '-' },
  { title: 'WHOLE', cell: (row) => (row.whole ? 'yes' : 'no') },
]
