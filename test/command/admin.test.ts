import { describe, expect, it } from 'vitest'
import {
  AdminKind,
  decodeAdminCommand,
  decodeChangePeer,
  encodeAdminCommand,
} from '../../src/command/admin.ts'
import { ChangeType } from '../../src/region/change-peers.ts'

const compact = { kind: AdminKind.CompactLog, index: 2 ** 40, term: 7 } as const

describe('admin commands', () => {
  it('come back as they were', () => {
    const bytes = encodeAdminCommand(compact)
    expect(bytes[0]).toBe(2)
    expect(decodeAdminCommand(bytes)).toEqual(compact)
  })

  it('are corruption when cut short, too long or of a kind unknown', () => {
    const bytes = encodeAdminCommand(compact)
    expect(() => decodeAdminCommand(bytes.subarray(0, 17))).toThrow(/ends at 17/)
    expect(() => decodeAdminCommand(Buffer.concat([bytes, Buffer.alloc(1)]))).toThrow(/1 bytes/)
    expect(() => decodeAdminCommand(Buffer.from([2, 99]))).toThrow(/kind 99/)
  })

  it('change peers as the context of a membership change', () => {
    const change = {
      kind: AdminKind.ChangePeer,
      confVer: 5,
      changes: [
        { type: ChangeType.AddVoter, peerId: 2 ** 40, storeId: 4 },
        { type: ChangeType.Remove, peerId: 9, storeId: 1 },
      ],
    } as const
    const bytes = encodeAdminCommand(change)
    expect(decodeChangePeer(bytes)).toEqual(change)
    expect(decodeChangePeer(encodeAdminCommand({ ...change, changes: [] })).changes).toEqual([])
    bytes[14] = 9
    expect(() => decodeChangePeer(bytes)).toThrow(/change type 9/)
    expect(() => decodeChangePeer(encodeAdminCommand(compact))).toThrow(/changes no peer/)
    expect(() => decodeChangePeer(Buffer.alloc(0))).toThrow(/ends at 0/)
  })
})
