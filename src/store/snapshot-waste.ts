/**
 * Files of the snapshot directory that nobody needs: of sets whose removal failed, of builds and
 * transfers that were given up on the way, of replicas that are gone. Looked for now and then, while
 * the store has to do with snapshots at all.
 *
 * INVARIANT: a file goes only when two looks in a row found that nobody uses it, so that whoever
 * begins with one between the looks keeps it.
 */
import { parseSetFile, type SnapshotOrigin } from '../snap/format.ts'

export interface SetOwner {
  /** Whether a set of this region is being made or kept, received or installed. */
  uses(origin: SnapshotOrigin, regionId: number, name: string): boolean
}

export class SnapshotWaste {
  readonly #owner: SetOwner
  /** What the last look found. */
  #suspects: ReadonlySet<string> = new Set()

  constructor(owner: SetOwner) {
    this.#owner = owner
  }

  /** True while another look is needed though nothing else happens. */
  get hasSuspects(): boolean {
    return this.#suspects.size > 0
  }

  /** Takes the names in the directory; answers those that are to be removed. */
  look(files: readonly string[]): string[] {
    const unused = files.filter((file) => !this.#isUsed(file))
    const waste = unused.filter((file) => this.#suspects.has(file))
    this.#suspects = new Set(unused.filter((file) => !waste.includes(file)))
    return waste
  }

  #isUsed(file: string): boolean {
    const parts = parseSetFile(file)
    return parts !== undefined && this.#owner.uses(parts.origin, parts.regionId, parts.name)
  }
}
