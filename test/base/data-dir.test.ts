import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type DataKind, mustNotBeOthers } from '../../src/base/data-dir.ts'

const KINDS: readonly DataKind[] = ['pd', 'store', 'cluster']

/** Kinds that may not be kept in a directory with these names. */
function refusedIn(...names: string[]): DataKind[] {
  const dir = mkdtempSync(join(tmpdir(), 'polyraft-kinds-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  for (const name of names) mkdirSync(join(dir, name))
  return KINDS.filter((kind) => {
    try {
      mustNotBeOthers(dir, kind)
      return false
    } catch (error) {
      expect(error).toMatchObject({ code: 'DataDirUnusable', data: { dir } })
      return true
    }
  })
}

test.each([
  [[], []],
  [['lost+found', 'server.log'], []],
  [
    ['pd.log', 'LOCK'],
    ['store', 'cluster'],
  ],
  [
    ['kv', 'raft', 'LOCK'],
    ['pd', 'cluster'],
  ],
  [
    ['pd', 'store-1', 'pids.json'],
    ['pd', 'store'],
  ],
])('where there is %j, data of %j is refused', (names, refused) => {
  expect(refusedIn(...names)).toEqual(refused)
})

test('a directory that is mixed already can still be read', () => {
  expect(refusedIn('kv', 'pd.log')).toEqual(['cluster'])
})

test('one that there is not yet is fine', () => {
  for (const kind of KINDS) mustNotBeOthers('/nowhere/at/all', kind)
})
