import { describe, expect, it } from 'vitest'
import { openMemoryEngine } from '../../src/engine/memory-engine.ts'
import { ColumnFamily } from '../../src/engine/port.ts'
import { codeOf, engineConformance, put, scanAll, text } from './conformance.ts'

engineConformance('memory', async () => openMemoryEngine())

describe('memory: crash', () => {
  const { Default } = ColumnFamily

  it('loses what was written since the last sync, and nothing else', () => {
    const engine = openMemoryEngine()
    put(engine, { a: '1', b: '2' })
    engine.sync()
    put(engine, { a: 'lost', c: 'lost' })
    engine.deleteRange(Default, Buffer.from('b'), Buffer.from('c'))
    engine.crash()
    expect(text(engine.scanSync(Default, scanAll()).rows)).toBe('a 1 b 2')
  })

  it('keeps everything before a synced batch', () => {
    const engine = openMemoryEngine()
    put(engine, { a: '1' })
    put(engine, { b: '2' }, true)
    put(engine, { c: '3' })
    engine.crash()
    engine.crash()
    expect(text(engine.scanSync(Default, scanAll()).rows)).toBe('a 1 b 2')
  })

  it('goes on over the same disk after reopen, and the old engine is closed', () => {
    const before = openMemoryEngine()
    put(before, { a: '1' }, true)
    put(before, { b: '2' })
    const after = before.reopen()
    expect(codeOf(() => before.newBatch())).toBe('Closed')
    expect(text(after.scanSync(Default, scanAll()).rows)).toBe('a 1 b 2')
    after.crash()
    expect(text(after.scanSync(Default, scanAll()).rows)).toBe('a 1')
  })

  it('crashes and reopens after close', async () => {
    const before = openMemoryEngine()
    put(before, { a: '1' }, true)
    put(before, { b: '2' })
    await before.close()
    before.crash()
    expect(text(before.reopen().scanSync(Default, scanAll()).rows)).toBe('a 1')
  })
})
