/**
 * What a raft log must be, as plain maps: the form in memory now, and for each region the forms that
 * a crash may leave, oldest first. The first of them is acknowledged; nothing older may come back.
 */

import type { Entry, HardState } from '../../src/raft/types.ts'
import type { RaftLog } from '../../src/raftlog/port.ts'
import { readAll } from './harness.ts'

export interface ModelRegion {
  truncatedIndex: number
  truncatedTerm: number
  hardState: HardState
  entries: Entry[]
  /** Created, but not written yet. */
  dirty: boolean
  ready: number
}

export function lastIndex(region: ModelRegion): number {
  return region.truncatedIndex + region.entries.length
}

export class Model {
  readonly regions = new Map<number, ModelRegion>()
  /** Forms on the way to the disk, by region. */
  readonly forms = new Map<number, string[]>()
  /** Ready of each form; 0 for forms that nobody waits for. */
  readonly #readies = new Map<number, number[]>()
  readonly #removed = new Set<number>()

  create(id: number, truncatedIndex: number, truncatedTerm: number, hardState: HardState): void {
    this.#removed.delete(id)
    const region = { truncatedIndex, truncatedTerm, hardState, entries: [], dirty: true, ready: 0 }
    this.regions.set(id, region)
  }

  write(id: number, ready: number, entries: readonly Entry[], hardState: HardState | undefined) {
    const region = this.regions.get(id)!
    if (entries.length > 0) {
      region.entries.length = entries[0]!.index - region.truncatedIndex - 1
      region.entries.push(...entries)
    }
    if (hardState !== undefined) region.hardState = hardState
    region.dirty = false
    region.ready = ready
    this.#push(id, shownRegion(region), ready)
  }

  compact(id: number, index: number): void {
    const region = this.regions.get(id)!
    const dropped = region.entries.splice(0, index - region.truncatedIndex)
    region.truncatedIndex = index
    region.truncatedTerm = dropped.at(-1)!.term
    if (!region.dirty) this.#push(id, shownRegion(region), 0)
  }

  remove(id: number): void {
    this.regions.delete(id)
    this.#removed.add(id)
  }

  flush(): void {
    for (const id of this.#removed) this.#push(id, 'absent', 0)
    this.#removed.clear()
  }

  persisted(id: number, ready: number): void {
    const readies = this.#readies.get(id) ?? []
    const at = readies.lastIndexOf(ready)
    if (at < 0) throw new Error(`region ${id} was never given ready ${ready}`)
    readies.splice(0, at)
    this.forms.get(id)!.splice(0, at)
  }

  /** After a crash: `form` is what was found; it must be one that is allowed. */
  recovered(id: number, form: string): void {
    const allowed = this.forms.get(id) ?? ['absent']
    if (!allowed.includes(form)) {
      throw new Error(`region ${id} came back as\n${form}\nallowed:\n${allowed.join('\n')}`)
    }
    this.forms.set(id, [form])
    this.#readies.set(id, [0])
    this.#removed.delete(id)
  }

  #push(id: number, form: string, ready: number): void {
    if (!this.forms.has(id)) {
      this.forms.set(id, ['absent'])
      this.#readies.set(id, [0])
    }
    this.forms.get(id)!.push(form)
    this.#readies.get(id)!.push(ready)
  }
}

export function shownRegion(region: ModelRegion): string {
  const { term, vote, commit } = region.hardState
  const entries = region.entries.map((one) => `${one.index}@${one.term}:${digest(one.data)}`)
  const start = `(${region.truncatedIndex}@${region.truncatedTerm})`
  return `hs ${term}/${vote}/${commit} ${start} ${entries.join(' ')}`
}

/** The region as the log has it. */
export async function observed(log: RaftLog, id: number): Promise<ModelRegion | undefined> {
  const state = log.state(id)
  if (state === undefined) return undefined
  const truncatedIndex = state.firstIndex - 1
  return {
    truncatedIndex,
    truncatedTerm: log.term(id, truncatedIndex) as number,
    hardState: state.hardState,
    entries: await readAll(log, id),
    dirty: false,
    ready: 0,
  }
}

function digest(data: Uint8Array): string {
  return `${data.length}/${data[0] ?? '-'}/${data.at(-1) ?? '-'}`
}
