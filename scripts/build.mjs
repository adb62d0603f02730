// Builds src/ into dist/: compiled modules, the files that are read at run time (.proto), and the command.
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const tsc = fileURLToPath(new URL('../node_modules/typescript/bin/tsc', import.meta.url))

execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
if (existsSync(`${root}src/protocol/proto`)) {
  cpSync(`${root}src/protocol/proto`, `${root}dist/protocol/proto`, { recursive: true })
}
// npx makes it executable the first time that it sees this directory, but not when it was built anew.
chmodSync(`${root}dist/server/main.js`, 0o755)
