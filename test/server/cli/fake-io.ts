/** A terminal, a cluster and an exit code for commands, all in memory. */
import { Readable, Writable } from 'node:stream'
import { Command } from 'commander'
import type { PdAdmin } from '../../../src/pd/admin-port.ts'
import type { CliIo, CliOutput } from '../../../src/server/cli/cli-io.ts'
import type { FakeCluster } from '../../client/fake-cluster.ts'

export class Sink extends Writable {
  readonly isTTY: boolean
  #chunks: Buffer[] = []

  constructor(isTTY = false) {
    super({ highWaterMark: 1024 })
    this.isTTY = isTTY
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#chunks.push(Buffer.from(chunk))
    setImmediate(done)
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  get text(): string {
    return this.bytes.toString('utf8')
  }

  get lines(): string[] {
    return this.text.split('\n').filter((line) => line !== '')
  }
}

/** Of a PD that knows three replicas and nothing to do. */
const fakeAdmin: PdAdmin = {
  settings: async () => ({ replicas: 3, maxStoreDownMs: 1_800_000 }),
  setReplicas: async () => {},
  deleteStore: () => Promise.reject(new Error('not in this test')),
  operators: async () => [],
  operator: () => Promise.reject(new Error('not in this test')),
  addOperator: () => Promise.reject(new Error('not in this test')),
  removeOperator: () => Promise.reject(new Error('not in this test')),
  close: async () => {},
}

export class FakeIo implements CliIo {
  stdin: Readable = Readable.from([])
  stdout: CliOutput & Sink
  stderr: CliOutput & Sink
  exitCode = 0
  cluster: FakeCluster
  /** JSON by URL. */
  readonly pages = new Map<string, unknown>()
  openKv: CliIo['openKv']
  openPd: CliIo['openPd']
  openAdmin: CliIo['openAdmin']

  constructor(cluster: FakeCluster, isTTY = false) {
    this.cluster = cluster
    this.stdout = new Sink()
    this.stderr = new Sink(isTTY)
    this.openKv = async (_pd, timeoutMs) => cluster.client(timeoutMs)
    this.openPd = async () => cluster.pd()
    this.openAdmin = async () => fakeAdmin
  }

  async fetchJson(url: string): Promise<unknown> {
    const page = this.pages.get(url)
    if (page === undefined) throw new Error(`${url} answered 404`)
    return page
  }

  setExitCode(code: number): void {
    this.exitCode = code
  }

  /** Runs one command line; usage errors reject with commander's error. */
  async run(register: (program: Command, io: CliIo) => void, args: readonly string[]) {
    const program = new Command().exitOverride()
    program.configureOutput({ writeErr: () => {}, writeOut: () => {} })
    register(program, this)
    inheritSettings(program)
    await program.parseAsync(args, { from: 'user' })
    return this
  }
}

/** Commands made before settings were changed on their parent do not see the change. */
function inheritSettings(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command)
    inheritSettings(child)
  }
}
