import { describe, expect, test } from 'vitest'
import { Silence } from '../../src/transport/silence.ts'

const rounds = (silence: Silence, count: number) =>
  Array.from({ length: count }, () => silence.check())

describe('silence', () => {
  test('is the fourth check without a word, told once', () => {
    const silence = new Silence()
    silence.heard(1)
    expect(rounds(silence, 6)).toEqual([[], [], [], [1], [], []])
  })

  test('is of stores that were heard of, each by itself', () => {
    const silence = new Silence()
    silence.heard(1)
    silence.heard(2)
    expect(rounds(silence, 3)).toEqual([[], [], []])
    silence.heard(2)
    expect(rounds(silence, 4)).toEqual([[1], [], [], [2]])
    silence.heard(1)
    expect(rounds(silence, 4)).toEqual([[], [], [], [1]])
  })

  test('of a link that closed is known at once, and not told again', () => {
    const silence = new Silence()
    silence.heard(1)
    expect(silence.closed(1)).toBe(true)
    expect(silence.closed(1)).toBe(false)
    expect(silence.closed(2)).toBe(false)
    expect(rounds(silence, 4)).toEqual([[], [], [], []])
  })
})
