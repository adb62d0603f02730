/**
 * CompactLog: a region gives up the beginning of its raft log.
 *
 *   Propose    peer/admin/compact-log.ts: the leader finds how far the log can go
 *   Apply      here: the truncated state moves, in the same batch as the applied index
 *   On result  peer/admin/compact-log.ts: the entries are deleted
 *
 * INVARIANT: the result that lets entries go is told only behind a barrier of the engine, because
 * until then a crash may take applied entries back, and the log must bring them again.
 */
import { assert } from '../../base/assert.ts'
import type { CompactLogCommand } from '../../command/admin.ts'
import type { ApplyFsm } from '../apply-fsm.ts'

export function applyCompactLog(fsm: ApplyFsm, { index, term }: CompactLogCommand): void {
  assert(term > 0, `region ${fsm.id}: a compaction names the term of entry ${index}`)
  // Proposed twice, or by an earlier leader that knew less.
  if (index <= fsm.truncatedIndex) return
  fsm.truncate(index, term)
}
