import { expect, test } from 'vitest'
import { parseAddresses } from '../../../src/server/cli/options.ts'

test('placement drivers are given as connect takes them', () => {
  expect(parseAddresses('http://a:1/, b:2,')).toEqual(['a:1', 'b:2'])
})

test.each(['', ' , ', 'a', 'a:1,b/:2'])('%j names none', (text) => {
  expect(() => parseAddresses(text)).toThrow(/host:port/)
})
