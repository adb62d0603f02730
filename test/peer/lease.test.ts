import { describe, expect, it } from 'vitest'
import { Lease } from '../../src/peer/lease.ts'

const NEVER = { endedMs: Number.NEGATIVE_INFINITY }

describe('lease', () => {
  it('is counted from when the message was sent, and ends exactly at its bound', () => {
    const lease = new Lease(900, NEVER)
    expect(lease.validAt(0)).toBe(false)
    lease.renew(1000)
    expect(lease.validAt(1899)).toBe(true)
    expect(lease.validAt(1900)).toBe(false)
  })

  it('never shrinks by an older answer', () => {
    const lease = new Lease(900, NEVER)
    lease.renew(1000)
    lease.renew(500)
    expect(lease.validAt(1899)).toBe(true)
  })

  it('is void, and stays void, once leadership may be taken without a time-out', () => {
    const lease = new Lease(900, NEVER)
    lease.renew(1000)
    lease.suspect()
    expect(lease.validAt(1001)).toBe(false)
    lease.renew(1100)
    expect(lease.validAt(1101)).toBe(false)
    lease.reset()
    lease.renew(1200)
    expect(lease.validAt(1201)).toBe(true)
  })

  it('counts nothing that was sent before the clock stood still, also if it is answered later', () => {
    const standstill = { endedMs: Number.NEGATIVE_INFINITY }
    const lease = new Lease(900, standstill)
    lease.renew(1000)
    standstill.endedMs = 1001
    expect(lease.validAt(1002)).toBe(false)
    // The clock may not have moved since: it cannot be told what was sent then.
    lease.renew(1001)
    expect(lease.validAt(1002)).toBe(false)
    lease.reset()
    lease.renew(1001)
    expect(lease.validAt(1002)).toBe(false)
    lease.renew(1002)
    expect(lease.validAt(1003)).toBe(true)
  })
})
