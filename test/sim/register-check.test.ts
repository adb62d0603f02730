import { describe, expect, it } from 'vitest'
import { checkRegister, type RegisterOperation } from './register-check.ts'

function write(value: string, begin: number, end = Number.POSITIVE_INFINITY): RegisterOperation {
  return { kind: 'write', value, begin, end }
}

function read(value: string | undefined, begin: number, end: number): RegisterOperation {
  return { kind: 'read', value, begin, end }
}

describe('the register checker', () => {
  it.each<[string, RegisterOperation[]]>([
    ['nothing at all', []],
    ['the beginning', [read(undefined, 1, 2)]],
    ['one after the other', [write('a', 1, 2), read('a', 3, 4), write('b', 5, 6), read('b', 7, 8)]],
    ['a read beside its write', [write('a', 1, 4), read('a', 2, 3)]],
    ['either value beside a write', [write('a', 1, 2), write('b', 3, 9), read('b', 4, 5)]],
    [
      'writes at the same time in any order',
      [write('a', 1, 9), write('b', 2, 8), read('a', 10, 11)],
    ],
    ['a write that was never heard of, unseen', [write('a', 1), read(undefined, 5, 6)]],
    [
      'a write that was never heard of, seen late',
      [write('a', 1), read(undefined, 5, 6), read('a', 7, 8)],
    ],
  ])('accepts %s', (_, history) => {
    expect(checkRegister(history)).toBeUndefined()
  })

  it.each<[string, RegisterOperation[], string]>([
    ['a lost write', [write('a', 1, 2), read(undefined, 3, 4)], 'current within'],
    ['a stale read', [write('a', 1, 2), write('b', 3, 4), read('a', 5, 6)], 'current within'],
    [
      'going back',
      [write('a', 1, 2), write('b', 3, 20), read('b', 4, 5), read('a', 6, 7)],
      'current',
    ],
    ['a value out of nothing', [read('x', 1, 2)], 'never written'],
    ['a read before its write', [read('a', 1, 2), write('a', 3, 4)], 'before it is written'],
    ['a value twice', [write('a', 1, 2), write('a', 3, 4)], 'written twice'],
  ])('refuses %s', (_, history, why) => {
    expect(checkRegister(history)).toContain(why)
  })
})
