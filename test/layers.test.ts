/**
 * The layer table of ARCHITECTURE.md, enforced: which folder may import which, which packages and
 * globals stay out of the pure ones, and how long a file may be.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const SRC = fileURLToPath(new URL('../src', import.meta.url))

const LOW = ['base', 'region', 'protocol']
const PEER = [...LOW, 'raft', 'command', 'raftlog', 'batch-system', 'transport', 'apply', 'engine']
const STORE = [...PEER, 'env', 'snap', 'peer', 'pd']

/** Folder → folders that it may import, besides itself. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  env: ['base'],
  raft: ['base'],
  region: ['base'],
  protocol: ['base', 'region'],
  command: ['base', 'region'],
  engine: ['base'],
  raftlog: ['base', 'env', 'raft'],
  'batch-system': ['base'],
  transport: ['base', 'region', 'raft'],
  apply: ['base', 'region', 'command', 'engine', 'batch-system', 'raft'],
  snap: ['base', 'env', 'region', 'engine'],
  peer: PEER.filter((folder) => folder !== 'engine'),
  pd: LOW,
  store: STORE,
  client: [...LOW, 'pd'],
  server: [...STORE, 'store', 'client', 'bench'],
  bench: [...STORE, 'store', 'client', 'server'],
}

/** Of a lower module only these files may be imported: its port, or its plain types. */
const ONLY_FILES: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  raftlog: { raft: ['types.ts'] },
  transport: { raft: ['types.ts'] },
  apply: { raft: ['types.ts', 'conf-change-codec.ts'], engine: ['port.ts'] },
  peer: { raftlog: ['port.ts'], apply: ['port.ts'], transport: ['port.ts'] },
}

/** No I/O, no time, no chance, no waiting: the same code runs in a simulated world. */
const PURE = ['raft', 'peer', 'apply', 'region', 'command', 'batch-system']
const IMPURE =
  /\b(Date\.|new Date|Math\.random|setTimeout|setInterval|setImmediate|queueMicrotask|Promise\b|async |await |process\.)/

/** Stands for a thread pool, so it has the pool's asynchronous close. */
const MAY_WAIT = ['apply/port.ts']

const LINES_MAX = 500

interface SourceFile {
  readonly folder: string
  readonly path: string
  readonly text: string
  readonly imports: readonly string[]
}

function sourceFiles(): SourceFile[] {
  return readdirSync(SRC, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => {
      const text = readFileSync(join(SRC, path), 'utf8')
      const imports = [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((m) => m[1]!)
      return { folder: path.includes('/') ? path.split('/')[0]! : '.', path, text, imports }
    })
}

function localTarget(file: SourceFile, specifier: string): string {
  return relative(SRC, resolve(dirname(join(SRC, file.path)), specifier))
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '')
}

describe('layers', () => {
  const files = sourceFiles()

  it('finds the sources', () => {
    expect(files.length).toBeGreaterThan(30)
    expect(new Set(files.map(({ folder }) => folder)).size).toBeGreaterThan(10)
  })

  it('imports go down the layer table only', () => {
    const wrong: string[] = []
    for (const file of files) {
      if (file.folder === '.') continue
      const allowed = LAYERS[file.folder]
      if (allowed === undefined) {
        wrong.push(`${file.path}: folder ${file.folder} is not in the layer table`)
        continue
      }
      for (const specifier of file.imports) {
        if (!specifier.startsWith('.')) continue
        const target = localTarget(file, specifier)
        const [folder, ...rest] = target.split('/')
        if (folder === file.folder) continue
        const only = ONLY_FILES[file.folder]?.[folder!]
        if (!allowed.includes(folder!) || (only !== undefined && !only.includes(rest.join('/')))) {
          wrong.push(`${file.path} imports ${target}`)
        }
      }
    }
    expect(wrong).toEqual([])
  })

  it('pure folders use no node modules, clocks, chance, timers or promises', () => {
    const wrong: string[] = []
    for (const file of files) {
      if (!PURE.includes(file.folder)) continue
      for (const specifier of file.imports) {
        if (specifier.startsWith('node:')) wrong.push(`${file.path} imports ${specifier}`)
      }
      const used = withoutComments(file.text).match(IMPURE)
      if (MAY_WAIT.includes(file.path)) continue
      if (used !== null) wrong.push(`${file.path} uses ${used[1]}`)
    }
    expect(wrong).toEqual([])
  })

  it('only env, and code that runs before a store exists, touches the disk', () => {
    const mayTouch = [
      'env',
      'store',
      'server',
      'bench',
      'client',
      'raftlog',
      'engine',
      'pd',
      'protocol',
    ]
    const wrong = files
      .filter(({ folder }) => folder !== '.' && !mayTouch.includes(folder))
      .filter(({ path }) => !['base/make-directory.ts', 'base/data-dir.ts'].includes(path))
      .filter(({ imports }) => imports.some((specifier) => /^node:fs/.test(specifier)))
      .map(({ path }) => path)
    expect(wrong).toEqual([])
  })

  it(`no file has more than ${LINES_MAX} lines`, () => {
    const long = files
      .map(({ path, text }) => ({ path, lines: text.split('\n').length }))
      .filter(({ lines }) => lines > LINES_MAX)
    expect(long).toEqual([])
  })
})
