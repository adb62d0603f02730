/** Whole groups, step by step, against public scripts. Tiers rise in difficulty. */
import { afterAll, describe, expect, test } from 'vitest'
import { dataFiles, HAS_DATA, readData } from '../script/data.ts'
import { ScriptEnvironment } from '../script/environment.ts'
import { parseScript } from '../script/parser.ts'
import { comparable, difference } from '../script/printer.ts'

/** Written for a storage protocol of messages, which readies replace here: see append-race.test.ts. */
const OTHER_PROTOCOL = ['async_storage_writes.txt', 'async_storage_writes_append_aba_race.txt']
const STEPS_IN_ALL = 467

const files = dataFiles('interaction').filter((name) => !OTHER_PROTOCOL.includes(name))
let passed = 0
let total = 0

describe.skipIf(!HAS_DATA)('interaction scripts', () => {
  test.each(files)('%s', (name) => {
    const environment = new ScriptEnvironment()
    const steps = parseScript(name, readData('interaction', name))
    total += steps.length
    for (const step of steps) {
      const expected = comparable(step.expected)
      const actual = comparable(environment.run(step))
      if (actual !== expected) {
        const where = `${name}:${step.line} ${step.command}`
        expect.fail(`${where}\n${difference(expected, actual)}`)
      }
      passed++
    }
  })

  afterAll(() => {
    console.log(`interaction: ${passed}/${total} steps in ${files.length} files`)
  })

  test('all steps were run', () => {
    expect(files).toHaveLength(26)
    expect(`${passed}/${total}`).toBe(`${STEPS_IN_ALL}/${STEPS_IN_ALL}`)
  })
})
