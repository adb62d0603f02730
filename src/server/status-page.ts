/** The status page for people: one store, its regions, and links to what machines read. */
import { printableKey } from '../base/bytes.ts'
import type { RegionStatus } from '../store/port.ts'
import { formatPeer } from './region-json.ts'
import type { Fact } from './status-facts.ts'

/** More would make a page that nobody reads. */
const ROWS_MAX = 500

export interface StatusPage {
  readonly title: string
  readonly ready: boolean
  readonly facts: readonly Fact[]
  readonly regionCount: number
  readonly regions: Iterable<RegionStatus>
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
}

const STYLE = `
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent) }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.35rem } h2 { font-size: 1.05rem; margin-top: 2rem }
.state { font-size: .8rem; padding: .15rem .6rem; border-radius: 1rem; color: #fff; vertical-align: middle }
.yes { background: #2a7d46 } .no { background: #b3541e }
table { border-collapse: collapse; width: 100%; font-size: .9rem }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line) }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
.facts th { width: 11rem; font-weight: 500 } .scroll { overflow-x: auto }
code { font-size: .88em }`

export function renderPage(page: StatusPage): string {
  const title = escapeHtml(page.title)
  const state = page.ready
    ? '<span class="state yes">ready</span>'
    : '<span class="state no">not ready</span>'
  const facts = page.facts
    .map(([name, value]) => `<tr><th>${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>`)
    .join('\n')
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title><style>${STYLE}</style></head><body>
<h1>${title} ${state}</h1>
<p><a href="/status">status</a> · <a href="/metrics">metrics</a> · <a href="/config">config</a> ·
<a href="/ready">ready</a></p>
<table class="facts">${facts}</table>
${renderRegions(page)}
</body></html>
`
}

function renderRegions(page: StatusPage): string {
  const rows: string[] = []
  for (const region of page.regions) {
    if (rows.length === ROWS_MAX) break
    rows.push(renderRegion(region))
  }
  const shown = rows.length < page.regionCount ? ` (the first ${rows.length} are shown)` : ''
  return `<h2>Regions: ${page.regionCount}${shown}</h2>
<div class="scroll"><table>
<tr><th>Region<th>From<th>To<th>Epoch<th>Role<th>Leader<th>Term<th>Commit<th>Applied<th>Log<th>Peers</tr>
${rows.join('\n')}
</table></div>`
}

function renderRegion(status: RegionStatus): string {
  const { region } = status
  const cells = [
    key(region.startKey, '−∞'),
    key(region.endKey, '+∞'),
    `${region.epoch.confVer}:${region.epoch.version}`,
    status.life === undefined ? status.role : `${status.role}, ${status.life}`,
    leaderOf(status),
    String(status.term),
    String(status.commitIndex),
    String(status.appliedIndex),
    `${status.firstIndex}–${status.lastIndex}`,
    region.peers.map(formatPeer).join(', '),
  ]
  const link = `<td><a href="/region/${region.id}">${region.id}</a></td>`
  return `<tr>${link}${cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('')}</tr>`
}

/** A leader that is not among the peers yet, or no more, has no store. */
function leaderOf({ region, leaderPeerId }: RegionStatus): string {
  if (leaderPeerId === 0) return 'none'
  const leader = region.peers.find((peer) => peer.id === leaderPeerId)
  return leader === undefined ? `peer ${leaderPeerId}` : `store ${leader.storeId}`
}

function key(bytes: Buffer, open: string): string {
  return bytes.length === 0 ? open : printableKey(bytes)
}
