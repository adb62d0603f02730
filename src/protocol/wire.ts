/**
 * The protobuf wire format, as far as the hand-written codecs of this folder share it.
 *
 *   message  (tag payload)*
 *   tag      varint of field number × 8 + wire type
 *   payload  0: varint | 1: eight bytes | 2: varint length, bytes | 3: fields up to the matching 4 | 5: four bytes
 *
 * Requests and answers of raw commands are coded by hand because they are the hot path of a store:
 * views instead of copies, no object per nested message, no reflection.
 */

export const WireType = {
  Varint: 0,
  Fixed64: 1,
  Bytes: 2,
  StartGroup: 3,
  EndGroup: 4,
  Fixed32: 5,
} as const

export function varintTag(field: number): number {
  return field * 8 + WireType.Varint
}

export function bytesTag(field: number): number {
  return field * 8 + WireType.Bytes
}

export function fieldOf(tag: number): number {
  return tag >>> 3
}

/** Bytes of a varint. @hot */
export function varintSize(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x20_0000) return 3
  if (value < 0x1000_0000) return 4
  let size = 5
  for (let rest = value / 0x8_0000_0000; rest >= 1; rest /= 0x80) size++
  return size
}

/** Bytes of a field of bytes, when its tag takes one byte (fields 1 to 15) and it is written at all. */
export function bytesFieldSize(length: number): number {
  return length === 0 ? 0 : 1 + varintSize(length) + length
}
