/**
 * Suite `regions`: what the number of regions costs, three store processes and PD on this machine.
 * `regions active`: puts/s of clusters that differ in it alone; `regions idle`: processor and memory
 * while nobody asks for anything. Without a name, both.
 */
import { type Parts, partsOf } from './parts.ts'
import { runActive } from './regions-active.ts'
import { runIdle } from './regions-idle.ts'
import { BenchReport } from './report.ts'
import type { BenchOptions } from './suite.ts'

const SECONDS_DEFAULT = 2
const PARTS: Parts = { active: runActive, idle: runIdle }

export async function run(options: BenchOptions): Promise<void> {
  const names = options.args.length > 0 ? options.args : Object.keys(PARTS)
  const parts = partsOf('regions', PARTS, names)
  const report = new BenchReport(options.json)
  for (const part of parts) await part(report, options.seconds ?? SECONDS_DEFAULT)
  report.finish()
}
