/** A three-member etcd on this machine, for comparison: started if etcd is installed, ended by pid. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { openSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { endProcess } from './end-process.ts'

const MEMBERS = 3
const START_MS_MAX = 20_000
const POLL_MS = 100

export function etcdVersion(): string | undefined {
  try {
    const text = execFileSync('etcd', ['--version'], { encoding: 'utf8' })
    return /etcd Version: (\S+)/.exec(text)?.[1]
  } catch {
    return undefined
  }
}

interface MemberStatus {
  readonly leader?: string
  readonly header?: { readonly member_id?: string }
}

export class EtcdCluster {
  readonly #processes: ChildProcess[] = []
  readonly #endpoints: string[] = []

  /** Ports basePort … basePort + 5. */
  constructor(dir: string, basePort: number) {
    const peers = Array.from(
      { length: MEMBERS },
      (_, i) => `http://127.0.0.1:${basePort + 2 * i + 1}`,
    )
    const initial = peers.map((url, i) => `m${i}=${url}`).join(',')
    for (let i = 0; i < MEMBERS; i++) {
      const client = `http://127.0.0.1:${basePort + 2 * i}`
      this.#endpoints.push(client)
      const log = openSync(join(dir, `etcd-${i}.log`), 'a')
      const args = [
        ...['--name', `m${i}`, '--data-dir', join(dir, `etcd-${i}`)],
        ...['--listen-client-urls', client, '--advertise-client-urls', client],
        ...['--listen-peer-urls', peers[i]!, '--initial-advertise-peer-urls', peers[i]!],
        ...['--initial-cluster', initial, '--initial-cluster-state', 'new'],
        ...['--quota-backend-bytes', `${8 * 1024 ** 3}`, '--log-level', 'error'],
      ]
      this.#processes.push(spawn('etcd', args, { stdio: ['ignore', log, log] }))
    }
  }

  get pids(): number[] {
    return this.#processes.map(({ pid }) => pid!)
  }

  /** Endpoint of the member that leads, once one does: clients that know it get etcd's best figures. */
  async leader(): Promise<string> {
    for (let waited = 0; waited < START_MS_MAX; waited += POLL_MS) {
      for (const endpoint of this.#endpoints) {
        const status = await memberStatus(endpoint)
        if (status?.leader !== undefined && status.leader === status.header?.member_id)
          return endpoint
      }
      await sleep(POLL_MS)
    }
    throw new Error(`etcd had no leader within ${START_MS_MAX / 1000} s; see etcd-*.log`)
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((child) => endProcess(child, 'SIGKILL')))
  }
}

async function memberStatus(endpoint: string): Promise<MemberStatus | undefined> {
  try {
    const answer = await fetch(`${endpoint}/v3/maintenance/status`, { method: 'POST', body: '{}' })
    return (await answer.json()) as MemberStatus
  } catch {
    // Not listening yet.
    return undefined
  }
}
