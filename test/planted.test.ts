/** Planted faults name lines of the source: those move on, and a fault that fits nowhere shows nothing. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

test.each(['raft', 'sim'])('the faults of test/%s/mutants.mjs fit the source', (folder) => {
  const script = fileURLToPath(new URL(`./${folder}/mutants.mjs`, import.meta.url))
  const output = execFileSync(process.execPath, [script, '--check'], { encoding: 'utf8' })
  expect(output).toMatch(/^[1-9]\d* faults fit$/m)
})
