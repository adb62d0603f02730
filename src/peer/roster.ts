/**
 * The members of a region by position: who they are, and when a leader last heard each. Asked for
 * every message, so it is flat: two short lists of numbers instead of a look at every peer's object.
 */
import type { PeerId } from '../base/ids.ts'
import type { Peer as PeerMeta, Region } from '../region/region.ts'

const NEVER = Number.NEGATIVE_INFINITY

export class Roster {
  #peers: readonly PeerMeta[] = []
  #ids: readonly PeerId[] = []
  /** Monotonic times, parallel to the ids. */
  #heardMs: number[] = []

  constructor(region: Region) {
    this.change(region)
  }

  /** Who stays keeps the time at which it was heard. */
  change(region: Region): void {
    const heardMs = region.peers.map(({ id }) => this.heardMs(id) ?? NEVER)
    this.#peers = region.peers
    this.#ids = region.peers.map(({ id }) => id)
    this.#heardMs = heardMs
  }

  has(id: PeerId): boolean {
    return this.#ids.includes(id)
  }

  get(id: PeerId): PeerMeta | undefined {
    const position = this.#ids.indexOf(id)
    return position < 0 ? undefined : this.#peers[position]
  }

  /** Somebody who is no member is not remembered. */
  heard(id: PeerId, nowMs: number): void {
    const position = this.#ids.indexOf(id)
    if (position >= 0) this.#heardMs[position] = nowMs
  }

  /** Undefined: not since leadership began. */
  heardMs(id: PeerId): number | undefined {
    const position = this.#ids.indexOf(id)
    if (position < 0 || this.#heardMs[position] === NEVER) return undefined
    return this.#heardMs[position]
  }

  /** Leadership begins or ends. */
  forgetHeard(): void {
    this.#heardMs.fill(NEVER)
  }
}
