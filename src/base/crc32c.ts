/** CRC-32C (Castagnoli) of bytes; `seed` chains it over several pieces or binds it to a file. */
import { crc32c as native } from '@node-rs/crc32'

export function crc32c(bytes: Uint8Array, seed = 0): number {
  return native(bytes as Buffer, seed)
}
