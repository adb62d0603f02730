/** Whole groups, step by step, against public scripts. Tiers rise in difficulty. */
import { afterAll, describe, expect, test } from 'vitest'
import { publicData } from '../script/data.ts'
import { ScriptEnvironment } from '../script/environment.ts'
import { parseScript } from '../script/parser.ts'
import { runScript } from '../script/runner.ts'

/** Written for a storage protocol of messages, which readies replace here: see ../scripts/append_aba_race.txt. */
const OTHER_PROTOCOL = ['async_storage_writes.txt', 'async_storage_writes_append_aba_race.txt']
const STEPS_IN_ALL = 467

const files = publicData.files('interaction').filter((name) => !OTHER_PROTOCOL.includes(name))
let passed = 0
let total = 0

describe.skipIf(!publicData.isPresent)('interaction scripts', () => {
  test.each(files)('%s', (name) => {
    const text = publicData.read('interaction', name)
    total += parseScript(name, text).length
    runScript(name, text, new ScriptEnvironment(), () => passed++)
  })

  afterAll(() => {
    console.log(`interaction: ${passed}/${total} steps in ${files.length} files`)
  })

  test('all steps were run', () => {
    expect(files).toHaveLength(26)
    expect(`${passed}/${total}`).toBe(`${STEPS_IN_ALL}/${STEPS_IN_ALL}`)
  })
})
