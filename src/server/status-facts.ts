/** What /status says as JSON, as people read it: sizes and times with units, and no braces. */
import { diskStateText } from '../base/disk-state.ts'
import type { StoreStatus } from '../store/port.ts'
import { formatSeconds } from './cli/progress.ts'
import { formatAbout } from './units.ts'

export type Fact = readonly [name: string, text: string]

const NONE = 'none'

export function statusFacts(facts: Readonly<Record<string, unknown>>): Fact[] {
  return Object.entries(facts).map(([name, value]): Fact => {
    if (name === 'uptimeSeconds') return ['Uptime', formatSeconds(Number(value))]
    if (name === 'disk') return ['Disk', diskText(value as NonNullable<StoreStatus['disk']>)]
    return [label(name), factText(value)]
  })
}

function diskText({ state, capacityBytes, availableBytes }: NonNullable<StoreStatus['disk']>) {
  const free = `${formatAbout(availableBytes)} of ${formatAbout(capacityBytes)} free`
  if (state === 'normal') return free
  const refused = state === 'full' ? 'writes and deletes are refused' : 'writes are refused'
  return `${free}, ${diskStateText(state)}: ${refused}`
}

/** peerAddress → Peer address. */
function label(name: string): string {
  const words = name.replace(/[A-Z]/g, (c) => ` ${c.toLowerCase()}`)
  return words[0]!.toUpperCase() + words.slice(1)
}

function factText(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value) || NONE
  return (
    Object.entries(value)
      .map(([name, each]) => `${name}=${each}`)
      .join(', ') || NONE
  )
}
