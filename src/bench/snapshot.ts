/**
 * Suite `snapshot`: what a region's snapshot costs, and what it costs the others.
 *
 *   steps    one region of 256 MiB, step by step and one after another, beside the same data scanned
 *            and rewritten through bare RocksDB (`snapshot-steps.ts`)
 *   cluster  three store processes: a replica gets the region by snapshot while other regions are
 *            written to, beside the same writes without (`snapshot-cluster.ts`)
 *
 * An argument names the part; without one both run.
 */
import { type Parts, partsOf } from './parts.ts'
import { BenchReport } from './report.ts'
import { runCluster } from './snapshot-cluster.ts'
import { runSteps } from './snapshot-steps.ts'
import type { BenchOptions } from './suite.ts'

const PARTS: Parts = { steps: runSteps, cluster: runCluster }
const DEFAULT_SECONDS = 4

export async function run({ json, seconds, args }: BenchOptions): Promise<void> {
  const parts = partsOf('snapshot', PARTS, args.length > 0 ? args : Object.keys(PARTS))
  const report = new BenchReport(json)
  for (const part of parts) await part(report, seconds ?? DEFAULT_SECONDS)
  report.finish()
}
