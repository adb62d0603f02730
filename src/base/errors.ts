/**
 * Operating errors: what callers can meet and act on. Every error that crosses the public API is a
 * PolyraftError with one of these codes; inside the store a refused request is a RegionError value.
 */
export type ErrorCode =
  | 'NotLeader'
  | 'RegionNotFound'
  | 'KeyNotInRegion'
  | 'EpochNotMatch'
  | 'ServerIsBusy'
  | 'StaleCommand'
  | 'StoreNotMatch'
  | 'MismatchPeerId'
  | 'RaftEntryTooLarge'
  | 'ReadIndexNotReady'
  | 'RegionNotInitialized'
  | 'DiskFull'
  | 'RecoveryInProgress'
  | 'Undetermined'
  | 'Timeout'
  | 'Cancelled'
  | 'Closed'
  | 'Cancelled'
  | 'Unavailable'
  | 'Unsupported'
  | 'KeyEmpty'
  | 'KeyTooLarge'
  | 'ValueTooLarge'
  | 'InvalidRange'
  | 'InvalidArgument'
  | 'UnknownColumnFamily'
  | 'ClusterIdMismatch'
  | 'NotBootstrapped'
  | 'AlreadyBootstrapped'
  | 'StoreTombstone'
  | 'NotFound'
  | 'DataDirLocked'
  | 'DataDirMismatch'
  | 'DataDirUnusable'
  | 'AddressInUse'
  | 'ConfigInvalid'
  | 'Corruption'
  | 'DiskError'
  | 'Internal'

const RETRYABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'NotLeader',
  'RegionNotFound',
  'KeyNotInRegion',
  'EpochNotMatch',
  'ServerIsBusy',
  'StaleCommand',
  'StoreNotMatch',
  'MismatchPeerId',
  'ReadIndexNotReady',
  'RegionNotInitialized',
  'DiskFull',
  'RecoveryInProgress',
  'Timeout',
  'Unavailable',
  'NotBootstrapped',
])

export class PolyraftError extends Error {
  override readonly name = 'PolyraftError'
  readonly code: ErrorCode
  /** True when the same call may succeed later without having had an effect now. */
  readonly retryable: boolean
  readonly data: Readonly<Record<string, unknown>>

  constructor(
    code: ErrorCode,
    message: string,
    data: Readonly<Record<string, unknown>> = {},
    options?: { cause?: unknown },
  ) {
    super(message, options)
    this.code = code
    this.retryable = RETRYABLE.has(code)
    this.data = data
  }
}

/** Something that a user can act on, and no bug: its stack tells nobody anything. */
export function isOperatingError(error: unknown): boolean {
  if (error instanceof PolyraftError) return true
  const code = systemErrorCode(error)
  // Those are wrong calls of Node's functions.
  return code !== undefined && !code.startsWith('ERR_')
}

/** Message of anything thrown, for one-line reports. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** `code` of a Node system error (`ENOENT`, …), if it is one. */
export function systemErrorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : undefined
}
