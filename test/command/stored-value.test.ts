import { describe, expect, it } from 'vitest'
import { columnFamilyNumber } from '../../src/command/column-family.ts'
import { decodeStoredValue } from '../../src/command/stored-value.ts'

describe('stored value', () => {
  it('is the user value in front of its flags, as a view', () => {
    const stored = Buffer.from([1, 2, 3, 0])
    expect([...decodeStoredValue(stored)]).toEqual([1, 2, 3])
    expect(decodeStoredValue(stored).buffer).toBe(stored.buffer)
    expect(decodeStoredValue(Buffer.from([0])).length).toBe(0)
  })

  it('is corrupt without flags or with flags that this version does not know', () => {
    expect(() => decodeStoredValue(Buffer.alloc(0))).toThrow('no flags byte')
    expect(() => decodeStoredValue(Buffer.from([9, 1]))).toThrow('unknown flags 0x1')
  })
})

describe('column families', () => {
  it('are known by name to users, but for the raft family', () => {
    expect(['', 'default', 'lock', 'write'].map(columnFamilyNumber)).toEqual([0, 0, 1, 2])
    expect(columnFamilyNumber('raft')).toBeUndefined()
    expect(columnFamilyNumber('constructor')).toBeUndefined()
  })
})
