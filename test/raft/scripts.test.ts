/**
 * Our own scripts, in the public language and a few words more (script/own-commands.ts):
 * scripts/*.txt. After a wanted change of behaviour
 *
 *   RAFT_REWRITE=1 npx vitest run test/raft/scripts.test.ts
 *
 * writes what they print now into them; read the difference before you keep it.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ScriptEnvironment } from './script/environment.ts'
import { rewriteScript, runScript } from './script/runner.ts'

const FOLDER = join(import.meta.dirname, 'scripts')
const files = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.txt'))
  .sort()
let passed = 0

describe('own scripts', () => {
  test.each(files)('%s', (name) => {
    const path = join(FOLDER, name)
    const text = readFileSync(path, 'utf8')
    if (process.env.RAFT_REWRITE === '1') {
      writeFileSync(path, rewriteScript(name, text, new ScriptEnvironment(true)))
      return
    }
    const before = passed
    runScript(name, text, new ScriptEnvironment(true), () => passed++)
    expect(passed, 'steps that were run').toBeGreaterThan(before)
  })

  afterAll(() => {
    console.log(`own scripts: ${passed} steps in ${files.length} files`)
  })
})
