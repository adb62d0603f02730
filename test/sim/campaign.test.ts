/**
 * Seeded random stories. SIM_SEEDS=200 SIM_FROM=1000 runs more of them; a failure names its seed,
 * and SIM_SEEDS=1 SIM_FROM=<seed> replays it.
 */
import { expect, it } from 'vitest'
import { runCampaign } from './campaign.ts'

const SEEDS = Number(process.env.SIM_SEEDS ?? 40)
const FROM = Number(process.env.SIM_FROM ?? 1)
const MS_PER_SEED_MAX = 20_000

it(
  `${SEEDS} stories from seed ${FROM}`,
  async () => {
    const total: Record<string, number> = {}
    for (let seed = FROM; seed < FROM + SEEDS; seed++) {
      try {
        const { counts } = await runCampaign(seed)
        for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count
      } catch (cause) {
        throw new Error(`seed ${seed} fails: npm run sim -- --seeds 1 --from ${seed}`, { cause })
      }
    }
    if (process.env.SIM_SEEDS !== undefined) console.log(JSON.stringify(total))
    // Any single story may miss a kind of fault; all together must not.
    if (process.env.SIM_SEEDS === undefined)
      for (const [name, count] of Object.entries(total)) expect(count, name).toBeGreaterThan(0)
  },
  SEEDS * MS_PER_SEED_MAX,
)
