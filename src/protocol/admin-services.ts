/** Messages and methods of polyraft.admin, the administration of polyraft's own placement driver. */
import type { ServiceDefinition } from '@grpc/grpc-js'
import type { HeaderRequest, HeaderResponse, WireStore } from './pd-messages.ts'
import { grpcMethod } from './pd-services.ts'

export interface SettingsResponse extends HeaderResponse {
  replicas: number
  maxStoreDownMs: number
}

export interface DeleteStoreRequest extends HeaderRequest {
  storeId: number
  physicallyDestroyed: boolean
  force: boolean
}

export interface DeleteStoreResponse extends HeaderResponse {
  store: WireStore | null | undefined
  regions: number
}

export interface WireOperator {
  regionId: number
  reason: string
  origin: string
  status: string
  note: string
  steps: string[]
  stepIndex: number
  ageMs: number
  stepAgeMs: number
}

export interface ListOperatorsResponse extends HeaderResponse {
  operators: WireOperator[]
}

export interface RegionRequest extends HeaderRequest {
  regionId: number
}

export interface AddOperatorRequest extends HeaderRequest {
  kind: string
  regionId: number
  storeId: number
  toStoreId: number
}

export interface OperatorResponse extends HeaderResponse {
  operator: WireOperator | null | undefined
}

const PATH = '/polyraft.admin.Admin'

export const adminMethods = {
  settings: grpcMethod<HeaderRequest, SettingsResponse>(
    'unary',
    `${PATH}/Settings`,
    'pdpb.HeaderRequest',
    'polyraft.admin.SettingsResponse',
  ),
  deleteStore: grpcMethod<DeleteStoreRequest, DeleteStoreResponse>(
    'unary',
    `${PATH}/DeleteStore`,
    'polyraft.admin.DeleteStoreRequest',
    'polyraft.admin.DeleteStoreResponse',
  ),
  listOperators: grpcMethod<HeaderRequest, ListOperatorsResponse>(
    'unary',
    `${PATH}/ListOperators`,
    'pdpb.HeaderRequest',
    'polyraft.admin.ListOperatorsResponse',
  ),
  getOperator: grpcMethod<RegionRequest, OperatorResponse>(
    'unary',
    `${PATH}/GetOperator`,
    'polyraft.admin.RegionRequest',
    'polyraft.admin.OperatorResponse',
  ),
  addOperator: grpcMethod<AddOperatorRequest, OperatorResponse>(
    'unary',
    `${PATH}/AddOperator`,
    'polyraft.admin.AddOperatorRequest',
    'polyraft.admin.OperatorResponse',
  ),
  removeOperator: grpcMethod<RegionRequest, HeaderResponse>(
    'unary',
    `${PATH}/RemoveOperator`,
    'polyraft.admin.RegionRequest',
    'pdpb.HeaderResponse',
  ),
} satisfies ServiceDefinition
