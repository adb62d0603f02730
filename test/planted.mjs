/** What the tools that plant faults share: a copy of the tree, and whether the faults still fit it. */
import { cpSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '..')

/**
 * The text that a fault replaces must stand in its file once. Says which do not, and ends the process;
 * also with --check, when all do.
 */
export function checkFaults(faults) {
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

export function copyTree() {
  const copy = mkdtempSync(join(tmpdir(), 'polyraft-mutants-'))
  for (const name of ['src', 'test', 'vitest.config.ts', 'package.json']) {
    cpSync(join(ROOT, name), join(copy, name), { recursive: true })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  return copy
}

/** What `use` returns while the fault stands in the copy. */
export function withFault(copy, { path, from, to }, use) {
  const file = join(copy, path)
  const original = readFileSync(file, 'utf8')
  writeFileSync(file, original.split(from).join(to))
  try {
    return use()
  } finally {
    writeFileSync(file, original)
  }
}
