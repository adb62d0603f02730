/** Suites of several parts, which arguments name. */
import { PolyraftError } from '../base/errors.ts'
import type { BenchReport } from './report.ts'

export type RunPart = (report: BenchReport, seconds: number) => Promise<void>
export type Parts = Readonly<Record<string, RunPart>>

/** In the order of the names; a name that there is not is found before anything runs. */
export function partsOf(suite: string, parts: Parts, names: readonly string[]): RunPart[] {
  return names.map((name) => {
    const part = Object.hasOwn(parts, name) ? parts[name] : undefined
    if (part !== undefined) return part
    const known = Object.keys(parts).join(', ')
    throw new PolyraftError('InvalidArgument', `suite ${suite} has no part "${name}": ${known}`)
  })
}
