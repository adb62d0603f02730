/** CPU time and resident memory of other processes, from /proc; undefined where there is none. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const TICKS_PER_SECOND = 100
const PAGE_KIB_FIELD = /^VmRSS:\s+(\d+) kB$/m

interface ProcessStats {
  readonly cpuSeconds: number
  readonly residentMiB: number
}

function processStats(pid: number): ProcessStats | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The command name may hold anything, so fields are counted behind its closing parenthesis.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const cpuSeconds = (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
    const resident = PAGE_KIB_FIELD.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return { cpuSeconds, residentMiB: Number(resident?.[1] ?? 0) / 1024 }
  } catch {
    // Not Linux, or the process has ended: the figure is left out.
    return undefined
  }
}

/** Of all of them together; those that have ended count as nothing. */
export function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (processStats(pid)?.cpuSeconds ?? 0), 0)
}

export function residentMiB(pid: number): number {
  return processStats(pid)?.residentMiB ?? 0
}

/** For each of them, how much of one processor it takes in the next `ms`. */
export async function processorShares(pids: readonly number[], ms: number): Promise<number[]> {
  const before = pids.map((pid) => cpuSeconds([pid]))
  await sleep(ms)
  return pids.map((pid, i) => ((cpuSeconds([pid]) - before[i]!) * 1000) / ms)
}
