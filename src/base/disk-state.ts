/** How full the disk of a store is; what follows from each state is told in env/disk-space.ts. */
import type { StoreId } from './ids.ts'

export type DiskState = 'normal' | 'almost-full' | 'full'

/** By the number that stores tell each other. */
export const DISK_STATES: readonly DiskState[] = ['normal', 'almost-full', 'full']

/** As people read it. */
export function diskStateText(state: DiskState): string {
  return state.replace('-', ' ')
}

/** What is known of the disks of this store and of others. */
export interface DiskView {
  /** Some disk is short of space: only then is there anything to ask. */
  readonly tight: boolean
  /** Of this store. */
  readonly own: DiskState
  /** Of another store, as it last told. */
  of(storeId: StoreId): DiskState
}
