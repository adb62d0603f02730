/**
 * Column families that user data may name. The numbers are the engine's and rest in raft entries,
 * so they never change; the raft family (3) holds the store's own state and is not among them.
 */
const DEFAULT = 0
const LOCK = 1
const WRITE = 2
export const USER_COLUMN_FAMILY_MAX = WRITE

/** Number of a column family by name ('' = default), or undefined when users have no such one. */
export function columnFamilyNumber(name: string): number | undefined {
  switch (name) {
    case '':
    case 'default':
      return DEFAULT
    case 'lock':
      return LOCK
    case 'write':
      return WRITE
    default:
      return undefined
  }
}
