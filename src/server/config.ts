/**
 * The settings of a storage node: defaults, then the TOML file, then flags. What is not understood
 * is an error that names the file and the key, never ignored: a misspelt limit is no limit.
 */
import { readFileSync } from 'node:fs'
import { parse, TomlError } from 'smol-toml'
import { type HostPort, isWildcard, parseAddress, stripScheme } from '../base/address.ts'
import { errorMessage, PolyraftError, systemErrorCode } from '../base/errors.ts'
import { didYouMean } from '../base/suggest.ts'
import type { StoreConfig } from '../store/config.ts'
import {
  keyOf,
  SETTINGS,
  type Setting,
  type SettingValue,
  STORE_FIELDS,
  sectionOf,
  storeSetting,
} from './config-settings.ts'
import {
  describeValue,
  isTable,
  type Parsed,
  parseFlagValue,
  parseTomlValue,
} from './config-values.ts'
import type { LogLevel } from './log-levels.ts'
import { brokenRelation } from './store-relations.ts'
import { WrongUsage } from './wrong-usage.ts'

export interface ServerConfig {
  readonly addr: HostPort
  /** As given; '' = derived from the address that was bound. */
  readonly advertiseAddr: string
  /** Port 0 = a free one. */
  readonly peerAddr: HostPort
  readonly advertisePeerAddr: string
  readonly statusAddr: HostPort
  readonly advertiseStatusAddr: string
  readonly labels: Readonly<Record<string, string>>
  readonly dataDir: string
  readonly pdEndpoints: readonly string[]
  readonly logLevel: LogLevel
  /** '' = standard error. */
  readonly logFile: string
  readonly store: StoreConfig
}

/** Values by setting name, as they were given: what /config shows and the sample prints. */
export type ConfigValues = ReadonlyMap<string, SettingValue>

export interface ConfigSource {
  /** TOML file; undefined = none. */
  readonly file?: string | undefined
  /** Setting name → text of the flag that overrides it. */
  readonly flags?: Readonly<Record<string, string | undefined>>
}

export interface LoadedConfig {
  readonly config: ServerConfig
  readonly values: ConfigValues
}

const BY_NAME: ReadonlyMap<string, Setting> = new Map(SETTINGS.map((each) => [each.name, each]))

export function loadConfig(source: ConfigSource): LoadedConfig {
  const values = new Map(SETTINGS.map((each) => [each.name, each.default]))
  if (source.file !== undefined) readToml(source.file, readFile(source.file), values)
  for (const [name, text] of Object.entries(source.flags ?? {})) {
    if (text !== undefined) set(values, name, parseFlagValue(BY_NAME.get(name)!, text), FLAGS)
  }
  return { config: toServerConfig(values, (name) => sourceOf(name, source)), values }
}

/** In messages, when no file is to blame. */
const FLAGS = 'flags'

/** Whom to tell that a value is wrong. */
type SourceOf = (name: string) => string

function sourceOf(name: string, { file = FLAGS, flags }: ConfigSource): string {
  return flags?.[name] === undefined ? file : FLAGS
}

/** Reads TOML text into `values`. `file` is for messages. */
function readToml(file: string, text: string, values: Map<string, SettingValue>): void {
  let root: Record<string, unknown>
  try {
    root = parse(text)
  } catch (error) {
    throw invalid(file, syntaxProblem(error))
  }
  readTable(file, '', root, values)
}

/** Without the drawing of the place that the parser adds: messages are one line. */
function syntaxProblem(error: unknown): string {
  const what = errorMessage(error)
    .split('\n')[0]!
    .replace(/^Invalid TOML document: /, '')
  const place = error instanceof TomlError ? `line ${error.line}, column ${error.column}: ` : ''
  return `${place}not valid TOML: ${what}`
}

function readFile(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const why = systemErrorCode(error) === 'ENOENT' ? 'there is no such file' : errorMessage(error)
    throw invalid(file, `cannot read the configuration: ${why}`)
  }
}

function readTable(
  file: string,
  section: string,
  table: Record<string, unknown>,
  values: Map<string, SettingValue>,
): void {
  for (const [key, raw] of Object.entries(table)) {
    const name = section === '' ? key : `${section}.${key}`
    const setting = BY_NAME.get(name)
    if (setting !== undefined) set(values, name, parseTomlValue(setting, raw), file)
    else if (!isSection(name)) throw unknownName(file, section, key, raw)
    else if (isTable(raw)) readTable(file, name, raw, values)
    else throw notASection(file, section, key, raw)
  }
}

function notASection(file: string, section: string, key: string, raw: unknown): PolyraftError {
  const name = section === '' ? key : `${section}.${key}`
  const where = section === '' ? key : place(name)
  const problem = `expected a section [${name}], found ${describeValue(raw)}`
  return invalid(file, `${where}: ${problem}`)
}

function isSection(name: string): boolean {
  return SETTINGS.some((each) => each.name.startsWith(`${name}.`))
}

function unknownName(file: string, section: string, key: string, raw: unknown): PolyraftError {
  const prefix = section === '' ? '' : `${section}.`
  const siblings = SETTINGS.filter((each) => each.name.startsWith(prefix)).map(
    (each) => each.name.slice(prefix.length).split('.')[0]!,
  )
  const suggestion = didYouMean(key, [...new Set(siblings)])
  if (isTable(raw)) return invalid(file, `unknown section [${prefix}${key}]${suggestion}`)
  const where = section === '' ? '' : `[${section}] `
  return invalid(file, `${where}${key}: unknown key${suggestion || elsewhere(key)}`)
}

/** The right key in the wrong section. */
function elsewhere(key: string): string {
  const found = SETTINGS.find((each) => each.name.endsWith(`.${key}`))
  return found === undefined ? '' : `; it belongs to [${sectionOf(found)}]`
}

function set(
  values: Map<string, SettingValue>,
  name: string,
  parsed: Parsed,
  source: string,
): void {
  if ('problem' in parsed) throw invalid(source, `${place(name)}: ${parsed.problem}`)
  values.set(name, parsed.value)
}

function place(name: string): string {
  const dot = name.lastIndexOf('.')
  return `[${name.slice(0, dot)}] ${name.slice(dot + 1)}`
}

function invalid(source: string, problem: string): PolyraftError {
  const message = `${source}: ${problem}`
  if (source === FLAGS) return new WrongUsage(message, 'ConfigInvalid')
  return new PolyraftError('ConfigInvalid', message, { source })
}

function toServerConfig(values: ConfigValues, source: SourceOf): ServerConfig {
  const text = (name: string): string => values.get(name) as string
  const address = (name: string): HostPort => mustParseAddress(source(name), name, text(name))
  const addr = address('server.addr')
  refuseTls(values, source)
  const config: ServerConfig = {
    addr,
    advertiseAddr: optionalAddress(source, 'server.advertise-addr', values),
    peerAddr:
      text('server.peer-addr') === '' ? { host: addr.host, port: 0 } : address('server.peer-addr'),
    advertisePeerAddr: optionalAddress(source, 'server.advertise-peer-addr', values),
    statusAddr: address('server.status-addr'),
    advertiseStatusAddr: optionalAddress(source, 'server.advertise-status-addr', values),
    labels: values.get('server.labels') as Record<string, string>,
    dataDir: text('storage.data-dir'),
    pdEndpoints: pdEndpoints(values, source),
    logLevel: text('log.level') as LogLevel,
    logFile: text('log.file.filename'),
    store: toStoreConfig(values),
  }
  mustBeConsistent(config, source)
  return config
}

function toStoreConfig(values: ConfigValues): StoreConfig {
  const entries = STORE_FIELDS.map((field) => [field, values.get(storeSetting(field).name)])
  return Object.fromEntries(entries) as StoreConfig
}

function mustParseAddress(source: string, name: string, text: string): HostPort {
  try {
    return parseAddress(text)
  } catch (error) {
    throw invalid(source, `${place(name)}: ${errorMessage(error)}`)
  }
}

function optionalAddress(source: SourceOf, name: string, values: ConfigValues): string {
  const text = values.get(name) as string
  if (text !== '') mustParseAddress(source(name), name, text)
  return text
}

function pdEndpoints(values: ConfigValues, sourceOf: SourceOf): string[] {
  const name = 'pd.endpoints'
  const source = sourceOf(name)
  const given = values.get(name) as readonly string[]
  if (given.length === 0) throw invalid(source, `${place(name)}: at least one is needed`)
  const endpoints = given.map(stripScheme)
  for (const each of endpoints) mustParseAddress(source, name, each)
  return endpoints
}

function refuseTls(values: ConfigValues, source: SourceOf): void {
  for (const name of ['security.ca-path', 'security.cert-path', 'security.key-path']) {
    if (values.get(name) === '') continue
    throw invalid(source(name), `${place(name)}: TLS is not supported yet; leave it empty`)
  }
}

function mustBeConsistent(config: ServerConfig, source: SourceOf): void {
  const fail = (name: string, problem: string): never => {
    throw invalid(source(name), `${place(name)} ${problem}`)
  }
  const broken = brokenRelation(config.store, (field) => keyOf(storeSetting(field)))
  if (broken !== undefined) fail(storeSetting(broken.field).name, broken.problem)
  if (config.dataDir === '') fail('storage.data-dir', 'must not be empty')
  if (isWildcard(config.addr.host) && config.advertiseAddr === '') {
    fail('server.advertise-addr', 'is needed when addr listens on every interface')
  }
  const { addr, peerAddr, statusAddr } = config
  if (collide(addr, peerAddr)) fail('server.peer-addr', 'is taken by addr: choose another port')
  if (collide(addr, statusAddr)) fail('server.status-addr', 'is taken by addr: choose another port')
  if (collide(peerAddr, statusAddr)) {
    fail('server.status-addr', 'is taken by peer-addr: choose another port')
  }
}

/** Both cannot be listened on. */
function collide(a: HostPort, b: HostPort): boolean {
  const isOneHost = a.host === b.host || isWildcard(a.host) || isWildcard(b.host)
  return a.port !== 0 && a.port === b.port && isOneHost
}
