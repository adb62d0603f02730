// Builds src/ into dist/: compiled modules, and the files that are read at run time (.proto).
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const tsc = fileURLToPath(new URL('../node_modules/typescript/bin/tsc', import.meta.url))

execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
if (existsSync(`${root}src/protocol/proto`)) {
  cpSync(`${root}src/protocol/proto`, `${root}dist/protocol/proto`, { recursive: true })
}
