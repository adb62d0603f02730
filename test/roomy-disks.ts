import type { DiskState, DiskView } from '../src/base/disk-state.ts'

/** For stores that never run out of space. */
export const ROOMY_DISKS: DiskView = Object.freeze({
  tight: false,
  own: 'normal',
  of: (): DiskState => 'normal',
})
