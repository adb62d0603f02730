/** Failures of PD as pdpb headers carry them, and back. */
import { type ErrorCode, PolyraftError } from '../base/errors.ts'
import type { ClusterId } from '../base/ids.ts'
import { PdErrorType, type ResponseHeader } from '../protocol/pd-messages.ts'

const TYPE_BY_CODE: Partial<Record<ErrorCode, PdErrorType>> = {
  NotBootstrapped: PdErrorType.NotBootstrapped,
  AlreadyBootstrapped: PdErrorType.AlreadyBootstrapped,
  StoreTombstone: PdErrorType.StoreTombstone,
  InvalidArgument: PdErrorType.InvalidValue,
  DataDirMismatch: PdErrorType.DuplicatedEntry,
  NotFound: PdErrorType.EntryNotFound,
  RegionNotFound: PdErrorType.RegionsNotContainAllKeyRange,
}

const CODE_BY_TYPE: Record<number, ErrorCode> = {
  [PdErrorType.NotBootstrapped]: 'NotBootstrapped',
  [PdErrorType.AlreadyBootstrapped]: 'AlreadyBootstrapped',
  [PdErrorType.StoreTombstone]: 'StoreTombstone',
  [PdErrorType.InvalidValue]: 'InvalidArgument',
  [PdErrorType.DuplicatedEntry]: 'DataDirMismatch',
  [PdErrorType.EntryNotFound]: 'NotFound',
  [PdErrorType.RegionsNotContainAllKeyRange]: 'RegionNotFound',
}

export function okHeader(clusterId: ClusterId): ResponseHeader {
  return { clusterId, error: undefined }
}

export function errorHeader(clusterId: ClusterId, error: PolyraftError): ResponseHeader {
  const type = TYPE_BY_CODE[error.code] ?? PdErrorType.Unknown
  return { clusterId, error: { type, message: error.message } }
}

export function clusterMismatch(asked: ClusterId, actual: ClusterId): PolyraftError {
  return new PolyraftError(
    'ClusterIdMismatch',
    `the PD serves cluster ${actual}, not ${asked}: check the PD endpoints and the data directory`,
    { asked, actual },
  )
}

/** Throws what a header reports; `asked` is the cluster that the request named, 0 = any. */
export function mustBeOk(header: ResponseHeader | null | undefined, asked: ClusterId): void {
  if (header == null) throw new PolyraftError('Internal', 'the PD answered without a header')
  if (asked !== 0 && header.clusterId !== asked) throw clusterMismatch(asked, header.clusterId)
  if (header.error == null) return
  const code = CODE_BY_TYPE[header.error.type] ?? 'Internal'
  throw new PolyraftError(code, header.error.message)
}
