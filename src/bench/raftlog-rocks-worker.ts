/** The thread behind RocksThreadLog: what waits becomes one batch with a synced WAL. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import { MIB } from '../base/limits.ts'
import { ColumnFamily, type KvBatch } from '../engine/port.ts'
import { attachRocksDb } from '../engine/rocksdb-engine.ts'
import { logKey } from './raftlog-load.ts'
import { DELETED, ITEM_HEADER_BYTES, type RocksRound } from './raftlog-rocks-thread.ts'

assert(parentPort !== null, 'this file runs as a worker thread')
const port = parentPort
const engine = await attachRocksDb(workerData as bigint)

function stage(batch: KvBatch, { round: memory, length: end }: RocksRound): void {
  const round = Buffer.from(memory, 0, end)
  for (let at = 0; at < end; ) {
    const key = logKey(round.readUInt32LE(at), round.readDoubleLE(at + 4))
    const length = round.readUInt32LE(at + 12)
    at += ITEM_HEADER_BYTES
    if (length === DELETED) {
      batch.delete(ColumnFamily.Default, key)
    } else {
      batch.put(ColumnFamily.Default, key, round.subarray(at, at + length))
      at += length
    }
  }
}

/** What waits behind a round joins its batch, as it does in the raft log's writer. */
function writeGroup(first: RocksRound): boolean {
  const batch = engine.newBatch()
  let next: RocksRound | 'close' | undefined = first
  let rounds = 0
  while (next !== undefined && next !== 'close') {
    stage(batch, next)
    rounds++
    if (batch.bytes >= MIB) break
    next = receiveMessageOnPort(port)?.message as RocksRound | 'close' | undefined
  }
  engine.write(batch, { sync: true })
  port.postMessage(rounds)
  return next !== 'close'
}

port.on('message', (message: RocksRound | 'close') => {
  if (message !== 'close' && writeGroup(message)) return
  void engine.close()
  port.close()
})
