import { describe, expect, it } from 'vitest'
import { Lease } from '../../src/peer/lease.ts'

describe('lease', () => {
  it('is counted from when the message was sent, and ends exactly at its bound', () => {
    const lease = new Lease(900)
    expect(lease.validAt(0)).toBe(false)
    lease.renew(1000)
    expect(lease.validAt(1899)).toBe(true)
    expect(lease.validAt(1900)).toBe(false)
  })

  it('never shrinks by an older answer', () => {
    const lease = new Lease(900)
    lease.renew(1000)
    lease.renew(500)
    expect(lease.validAt(1899)).toBe(true)
  })

  it('is void, and stays void, once leadership may be taken without a time-out', () => {
    const lease = new Lease(900)
    lease.renew(1000)
    lease.suspect()
    expect(lease.validAt(1001)).toBe(false)
    lease.renew(1100)
    expect(lease.validAt(1101)).toBe(false)
    lease.reset()
    lease.renew(1200)
    expect(lease.validAt(1201)).toBe(true)
  })
})
