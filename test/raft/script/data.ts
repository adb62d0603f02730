/**
 * The public test data beside the repository, or where RAFT_DATA says. Where it is absent its tests
 * are skipped, and one line tells so.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const BESIDE = resolve(import.meta.dirname, '../../../../shared/data/etcd-raft')

export class ScriptData {
  readonly #root: string
  readonly isPresent: boolean

  constructor(root: string, warn: (line: string) => void) {
    this.#root = root
    this.isPresent = existsSync(root)
    if (!this.isPresent) warn(`skipped: no public raft test data at ${root}`)
  }

  /** Scripts of a folder; none when the data is absent. */
  files(folder: string): string[] {
    if (!this.isPresent) return []
    return readdirSync(join(this.#root, folder))
      .filter((name) => name.endsWith('.txt'))
      .sort()
  }

  read(folder: string, name: string): string {
    return readFileSync(join(this.#root, folder, name), 'utf8')
  }
}

export const publicData = new ScriptData(process.env.RAFT_DATA ?? BESIDE, (line) =>
  console.warn(line),
)
