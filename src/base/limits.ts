/** Limits that hold everywhere, in one place, with the relations between them asserted. In bytes, or as named. */
import { assert } from './assert.ts'

export const KIB = 1024
export const MIB = 1024 * KIB
export const GIB = 1024 * MIB

/** Longest user key. */
export const KEY_BYTES_MAX = 8 * KIB
/** Largest raft entry, so also the largest value less its header. */
export const ENTRY_BYTES_MAX = 8 * MIB
/** Largest store-to-store frame: an entry at its limit plus everything around it. */
export const FRAME_BYTES_MAX = 64 * MIB
/** Largest gRPC message taken or sent. */
export const GRPC_MESSAGE_BYTES_MAX = 64 * MIB
/** Keys, pairs and times to live in the lists of one gRPC message that a store takes, all together. */
export const ELEMENTS_MAX = 1 << 18
/** Rows that our client asks for in one RawScan at most, as those of TiKV do. */
export const SCAN_ROWS_MAX = 10_240
/** Rows that one RawScan may answer: each takes some 500 bytes of memory besides its own. */
export const SCAN_ANSWER_ROWS_MAX = 1 << 16
/** Bytes after which one RawScan answer ends, so that it fits a message. */
export const SCAN_BYTES_MAX = 16 * MIB
/** Longest time that a timer is given, in whole days: Node makes 1 ms of 2^31 ms and more. */
export const WAIT_MS_MAX = 24 * 86_400_000

/** Bytes that one RawBatchGet may answer: more is an error that asks for fewer keys. */
export const GET_BYTES_MAX = 48 * MIB

assert(KEY_BYTES_MAX < ENTRY_BYTES_MAX, 'a key fits an entry')
assert(ENTRY_BYTES_MAX * 2 <= FRAME_BYTES_MAX, 'an entry fits a frame')
assert(SCAN_BYTES_MAX + ENTRY_BYTES_MAX <= GRPC_MESSAGE_BYTES_MAX, 'a scan answer fits a message')
assert(SCAN_ROWS_MAX <= SCAN_ANSWER_ROWS_MAX, 'what clients ask for is answered')
assert(WAIT_MS_MAX < 2 ** 31, 'a timer can wait so long')
assert(GET_BYTES_MAX + ENTRY_BYTES_MAX <= GRPC_MESSAGE_BYTES_MAX, 'so does one of many keys')
