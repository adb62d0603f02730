/** Plants faults in a copy of the tree, one at a time, for the tools that show that each is caught. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '..')

/**
 * For each fault that the command line names, or all: how it was caught, by `caughtBy(copy, fault)`, or
 * that it survives. Without a fault nothing may be caught: tests that cannot run would catch any.
 */
export function plantFaults(faults, caughtBy) {
  checkFaults(faults)
  const wanted = process.argv.slice(2)
  const copy = copyTree()
  try {
    const before = caughtBy(copy, undefined)
    if (before !== undefined) throw new Error(`without a fault: ${before}`)
    for (const fault of faults) {
      if (wanted.length > 0 && !wanted.includes(fault.name)) continue
      const verdict = withFault(copy, fault, () => caughtBy(copy, fault))
      if (verdict === undefined) process.exitCode = 1
      console.log(`${fault.title}: ${verdict ?? 'SURVIVES'}`)
    }
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

/**
 * The text that a fault replaces must stand in its file once. Says which do not, and ends the process;
 * also with --check, when all do.
 */
function checkFaults(faults) {
  const misfits = faults.flatMap(({ title, path, from }) => {
    const places = readFileSync(join(ROOT, path), 'utf8').split(from).length - 1
    return places === 1 ? [] : [`${title}: ${places} places in ${path} fit it`]
  })
  for (const line of misfits) console.error(line)
  if (misfits.length > 0) process.exit(1)
  if (process.argv.includes('--check')) {
    console.log(`${faults.length} faults fit`)
    process.exit(0)
  }
}

function copyTree() {
  const copy = mkdtempSync(join(tmpdir(), 'polyraft-mutants-'))
  for (const name of ['src', 'test', 'vitest.config.ts', 'package.json']) {
    cpSync(join(ROOT, name), join(copy, name), { recursive: true })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  return copy
}

/** What `use` returns while the fault stands in the copy. */
function withFault(copy, { path, from, to }, use) {
  const file = join(copy, path)
  const original = readFileSync(file, 'utf8')
  writeFileSync(file, original.split(from).join(to))
  try {
    return use()
  } finally {
    writeFileSync(file, original)
  }
}
