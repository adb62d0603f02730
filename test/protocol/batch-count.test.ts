import { describe, expect, it } from 'vitest'
import { mustHoldCommands } from '../../src/protocol/batch-count.ts'
import { ProtoReader } from '../../src/protocol/proto-reader.ts'
import { ProtoWriter } from '../../src/protocol/proto-writer.ts'
import { bytesTag, varintTag } from '../../src/protocol/wire.ts'
import { encode } from './kvproto.ts'

const MANY = /holds more than 100 commands/

function check(message: Buffer): () => void {
  return () => mustHoldCommands(new ProtoReader(message), message.length, 100)
}

function batch(commands: number, ids: number): Buffer {
  const requests = Array.from({ length: commands }, () => ({ RawGet: { key: Buffer.from('k') } }))
  const request_ids = Array.from({ length: ids }, (_, id) => id)
  return encode('BatchCommandsRequest', { requests, request_ids })
}

describe('the commands of a message', () => {
  it('are counted before they are decoded', () => {
    expect(check(batch(100, 100))).not.toThrow()
    expect(check(batch(101, 101))).toThrow(MANY)
    const smallest = Buffer.alloc(202, Buffer.from('0a00', 'hex'))
    expect(check(smallest)).toThrow(MANY)
    expect(check(smallest.subarray(2))).not.toThrow()
  })

  it('so are ids, packed or not', () => {
    const packed = new ProtoWriter()
    packed.bytesField(bytesTag(2), Buffer.alloc(1001))
    expect(check(packed.view())).toThrow(MANY)
    const single = new ProtoWriter()
    for (let id = 1; id <= 101; id++) single.uintField(varintTag(2), id)
    expect(check(single.view())).toThrow(MANY)
  })

  it('a broken frame is an error as ever, and other fields are skipped', () => {
    expect(check(Buffer.concat([batch(90, 90), Buffer.from('0aff', 'hex')]))).toThrow(/malformed/)
    const other = new ProtoWriter()
    for (let i = 0; i < 300; i++) other.uintField(varintTag(9), 7)
    expect(check(other.view())).not.toThrow()
  })
})
