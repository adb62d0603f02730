/** Counters of all peers of a store. Plain numbers: the hot path adds, the status page reads. */
export class PeerMetrics {
  proposals = 0
  proposedCommands = 0
  proposedBytes = 0
  refused = 0
  stale = 0
  stranded = 0
  leaseReads = 0
  indexReads = 0
  readIndexRounds = 0
  readies = 0
  raftMessagesSent = 0
  raftMessagesReceived = 0
  raftMessagesDropped = 0
  raftMessagesDroppedDiskFull = 0
  leaderChanges = 0
  committedEntries = 0
  appliedEntries = 0
  compactedEntries = 0
  peersCreated = 0
  peersInitialised = 0
  peersDestroyed = 0
  peerChangesProposed = 0
  peerChangesApplied = 0
  ordersTaken = 0
  ordersRefused = 0
  tombstoneMessagesSent = 0
  hibernations = 0
  wakeUps = 0
}
