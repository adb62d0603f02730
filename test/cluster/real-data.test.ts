/** Rows that nobody made up, in through the command line and out again, and what that costs. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { polyraft } from './cli.ts'
import { TestCluster } from './harness.ts'

const ROWS = 200_000
const REST_BYTES_MAX = 150 * 1024 * 1024

/** Package, version and description, as `dpkg-query` knows them; undefined where there is none. */
function packages(): string[] | undefined {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders.
  const format = '${Package}\\t${Version} ${Description}\\n'
  try {
    const text = execFileSync('dpkg-query', ['-W', '-f', format], { maxBuffer: 1 << 28 })
    return text
      .toString('utf8')
      .split('\n')
      .filter((line) => line.split('\t').length === 2)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** The number before every second key: so the rows spread over more regions than digits begin. */
function multiply(lines: readonly string[]): string[] {
  return Array.from({ length: ROWS }, (_, i) => {
    const line = lines[i % lines.length]!
    return i % 2 === 0 ? `${i} ${line}` : line.replace('\t', ` ${i}\t`)
  })
}

/** Resident bytes by process name. */
function residentBytes(cluster: TestCluster): Map<string, number> {
  const { pd, stores } = cluster.pids()
  const pids = [['PD', pd] as const, ...stores.map(({ id, pid }) => [`store ${id}`, pid] as const)]
  return new Map(
    pids.map(([name, pid]) => {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8')
      return [name, Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) * 1024]
    }),
  )
}

function tell(when: string, resident: ReadonlyMap<string, number>): void {
  const parts = [...resident].map(([name, bytes]) => `${name} ${Math.round(bytes / 2 ** 20)} MiB`)
  console.log(`resident ${when}: ${parts.join(', ')}`)
}

const lines = process.platform === 'linux' ? packages() : undefined
if (lines === undefined) console.log('skipped: there is no dpkg-query to take real rows from')

let cluster: TestCluster | undefined

afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

describe.skipIf(lines === undefined).each([1, 16])('three stores, %i region(s)', (regions) => {
  it('give back 200,000 real rows as they went in', async () => {
    cluster = await TestCluster.start({ regions })
    const atRest = residentBytes(cluster)
    tell(`at rest, ${regions} region(s)`, atRest)
    for (const bytes of atRest.values()) expect(bytes).toBeLessThanOrEqual(REST_BYTES_MAX)

    const rows = multiply(lines!)
    const input = join(cluster.dir, 'rows.tsv')
    const output = join(cluster.dir, 'dump.tsv')
    writeFileSync(input, `${rows.join('\n')}\n`)
    const loaded = await polyraft(['kv', 'load', input, '--pd', cluster.pd])
    expect(loaded.stderr).toMatch(/^loaded 200,000 rows \(.*\) in .*, .* rows\/s\n$/)
    expect(loaded.code).toBe(0)
    tell(`after the rows, ${regions} region(s)`, residentBytes(cluster))

    const dumped = await polyraft(['kv', 'dump', '--pd', cluster.pd], { outputFile: output })
    expect(dumped.stderr).toMatch(/^dumped 200,000 rows /)
    expect(dumped.code).toBe(0)
    console.log(`${loaded.stderr}${dumped.stderr}`.trimEnd())
    const before = `${rows.toSorted().join('\n')}\n`
    const after = `${readFileSync(output, 'utf8').trimEnd().split('\n').sort().join('\n')}\n`
    // Not toEqual: its picture of the difference of two such texts would take minutes.
    expect(after === before).toBe(true)
  }, 120_000)
})
