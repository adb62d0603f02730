/**
 * Runs the tests on Node 24, which npm provides as a package: `npm run test:node24 [-- vitest's words]`.
 * It is installed once, beside nothing of the project, in the directory for temporary files.
 *
 * Ends with 75 when that Node cannot be had: then nothing was tested.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const VERSION = '24.21.0'
const CANNOT_BE_HAD = 75
const { platform, arch } = process
const name = `node-${platform}-${arch}`
const prefix = join(tmpdir(), `polyraft-${name}-${VERSION}`)
const node = join(prefix, 'node_modules', name, 'bin', 'node')

function install() {
  if (platform !== 'linux' && platform !== 'darwin') return `no package of it for ${platform}`
  const words = ['install', '--prefix', prefix, '--no-save', '--no-audit', '--no-fund']
  const { status, stderr } = spawnSync(
    'npm',
    [...words, '--ignore-scripts', `${name}@${VERSION}`],
    {
      encoding: 'utf8',
    },
  )
  return status === 0 && existsSync(node) ? undefined : `npm: ${String(stderr).trim()}`
}

function run(words) {
  // Servers that tests start as commands find it too.
  const PATH = `${dirname(node)}${delimiter}${process.env.PATH}`
  return spawnSync(node, words, { stdio: 'inherit', cwd: root, env: { ...process.env, PATH } })
    .status
}

const root = fileURLToPath(new URL('..', import.meta.url))
const trouble = existsSync(node) ? undefined : install()
if (trouble !== undefined || run(['--version']) !== 0) {
  console.log(
    `Node ${VERSION} cannot be had, so nothing was tested on it (${trouble ?? 'it does not run here'})`,
  )
  process.exit(CANNOT_BE_HAD)
}
process.exitCode = run(['node_modules/vitest/vitest.mjs', 'run', ...process.argv.slice(2)]) ?? 1
