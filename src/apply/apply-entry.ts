/**
 * One committed entry on its way into the batch: decode → check → stage.
 *
 * A command that the region refuses (its epoch has moved on) is data: every replica refuses it and
 * advances. Bytes that do not decode, a gap, or a term that falls are not: they throw, and the
 * store stops before anything of the batch is written.
 */
import { assert, unreachable } from '../base/assert.ts'
import { asBuffer } from '../base/bytes.ts'
import { type AdminCommand, AdminKind, decodeAdminCommand } from '../command/admin.ts'
import {
  CommandKind,
  type CommandVisitor,
  commandEpochVersion,
  readCommand,
} from '../command/command.ts'
import { ColumnFamily, type KvBatch } from '../engine/port.ts'
import { type Entry, EntryType } from '../raft/types.ts'
import { applyChangePeer } from './admin/change-peer.ts'
import { applyCompactLog } from './admin/compact-log.ts'
import type { ApplyFsm } from './apply-fsm.ts'

/** Puts the operations of commands into the batch of the round. */
export class Stager implements CommandVisitor {
  batch: KvBatch
  /** The batch must be durable before anybody hears of it. */
  mustSync = false

  constructor(batch: KvBatch) {
    this.batch = batch
  }

  put(cf: number, key: Buffer, value: Buffer): void {
    this.batch.put(cf as ColumnFamily, key, value)
  }

  delete(cf: number, key: Buffer): void {
    this.batch.delete(cf as ColumnFamily, key)
  }

  putState(key: Buffer, state: Buffer): void {
    this.batch.put(ColumnFamily.Raft, key, state)
  }
}

/** Stages the entry and advances the region over it; entries from before a restart are skipped. */
// @hot
export function applyEntry(fsm: ApplyFsm, entry: Entry, stager: Stager): void {
  const { index, term } = entry
  if (index <= fsm.appliedIndex || fsm.isRemoved) return
  mustContinue(fsm, entry)
  let { length, bytes } = stager.batch
  switch (entry.type) {
    case EntryType.Normal:
      // A new leader begins its term with an empty entry.
      if (entry.data.length > 0) applyCommand(fsm, entry, stager)
      break
    case EntryType.ConfChange:
    case EntryType.ConfChangeV2:
      applyChangePeer(fsm, entry, stager)
      // A region's own state is no traffic.
      length = stager.batch.length
      bytes = stager.batch.bytes
      break
    default:
      unreachable(entry.type)
  }
  fsm.advance(index, term, stager.batch.length - length, stager.batch.bytes - bytes)
}

function applyCommand(fsm: ApplyFsm, entry: Entry, stager: Stager): void {
  const data = asBuffer(entry.data)
  if (data[0] === CommandKind.Admin) {
    applyAdmin(fsm, decodeAdminCommand(data))
    return
  }
  if (commandEpochVersion(data) === fsm.region!.epoch.version) readCommand(data, stager)
  else fsm.reject({ index: entry.index, code: 'EpochNotMatch' })
}

function applyAdmin(fsm: ApplyFsm, command: AdminCommand): void {
  switch (command.kind) {
    case AdminKind.CompactLog:
      applyCompactLog(fsm, command)
      break
    case AdminKind.ChangePeer:
      assert(false, `region ${fsm.id}: peers change in an entry of raft's own type`)
      break
    default:
      unreachable(command)
  }
}

function mustContinue(fsm: ApplyFsm, { index, term }: Entry): void {
  assert(
    index === fsm.appliedIndex + 1,
    () => `region ${fsm.id}: entry ${index} comes behind applied ${fsm.appliedIndex}, with a gap`,
  )
  assert(
    term >= fsm.appliedTerm,
    () => `region ${fsm.id}: entry ${index} is of term ${term}, behind term ${fsm.appliedTerm}`,
  )
}
