// Runs more stories of the simulator: npm run sim -- --seeds 200 --from 1000
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '200' }, from: { type: 'string', default: '1' } },
})
for (const [name, value] of Object.entries(values)) {
  if (/^[1-9][0-9]*$/.test(value)) continue
  console.error(`--${name} is a number from 1 on, not '${value}'`)
  process.exit(2)
}
const root = fileURLToPath(new URL('..', import.meta.url))
const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url))
const { status } = spawnSync(process.execPath, [vitest, 'run', 'test/sim/campaign.test.ts'], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, SIM_SEEDS: values.seeds, SIM_FROM: values.from },
})
process.exitCode = status ?? 1
