import { describe, expect, it } from 'vitest'
import { AdminKind, decodeAdminCommand, encodeAdminCommand } from '../../src/command/admin.ts'

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
})
