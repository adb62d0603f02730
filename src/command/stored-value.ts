/**
 * How a value rests in the engine:
 *
 *   plain         user value | u8 flags = 0
 *   (reserved)    user value | u64 expiry, unix seconds | u8 flags with bit 0
 *
 * Writers append the flags while they build a command; this module only reads. No writer sets a
 * flag yet, so a value with one was written by a newer program and is refused, not misread.
 */
import { PolyraftError } from '../base/errors.ts'

export const PLAIN_VALUE_FLAGS = 0

/** The user value within a stored one: a view. */
export function decodeStoredValue(stored: Buffer): Buffer {
  const last = stored.length - 1
  if (last < 0) throw new PolyraftError('Corruption', 'stored value: it has no flags byte')
  if (stored[last] !== PLAIN_VALUE_FLAGS) {
    throw new PolyraftError(
      'Corruption',
      `stored value: unknown flags 0x${stored[last]!.toString(16)}; a newer version wrote it?`,
    )
  }
  return stored.subarray(0, last)
}
