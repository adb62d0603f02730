/** polyraft.admin over gRPC: what an administrator may ask of PdCore. */
import type { UntypedServiceImplementation } from '@grpc/grpc-js'
import { PolyraftError } from '../base/errors.ts'
import type * as wire from '../protocol/admin-services.ts'
import type { HeaderRequest, HeaderResponse } from '../protocol/pd-messages.ts'
import type { PeerCommand } from './checkers/peer-command.ts'
import { storeToWire } from './convert.ts'
import type { PdCore } from './core.ts'
import { type EndedOperator, Operator } from './operators/operator.ts'
import { describeStep } from './operators/step.ts'
import { unary } from './service.ts'

export function adminService(core: PdCore): UntypedServiceImplementation {
  return {
    settings: unary<HeaderRequest, wire.SettingsResponse>(
      core,
      () => ({ replicas: core.maxPeerCount, maxStoreDownMs: core.schedule.maxStoreDownMs }),
      true,
    ),
    deleteStore: unary<wire.DeleteStoreRequest, wire.DeleteStoreResponse>(
      core,
      async ({ storeId, physicallyDestroyed, force }) => {
        await core.removeStore(storeId, physicallyDestroyed, force)
        return {
          store: storeToWire(core.store(storeId)!.meta),
          regions: core.regionCountOn(storeId),
        }
      },
      true,
    ),
    listOperators: unary<HeaderRequest, wire.ListOperatorsResponse>(
      core,
      () => ({ operators: core.operators().map((operator) => toWire(core, operator)) }),
      true,
    ),
    getOperator: unary<wire.RegionRequest, wire.OperatorResponse>(
      core,
      ({ regionId }) => ({ operator: toWire(core, mustHave(core, regionId)) }),
      true,
    ),
    addOperator: unary<wire.AddOperatorRequest, wire.OperatorResponse>(
      core,
      async (request) => ({
        operator: toWire(core, await core.startOperator(commandOf(request))),
      }),
      true,
    ),
    removeOperator: unary<wire.RegionRequest, HeaderResponse>(
      core,
      ({ regionId }) => {
        core.cancelOperator(regionId)
        return {}
      },
      true,
    ),
  }
}

function mustHave(core: PdCore, regionId: number): Operator | EndedOperator {
  const found = core.operatorOf(regionId)
  if (found !== undefined) return found
  throw new PolyraftError('NotFound', `PD knows of no operator for region ${regionId}`)
}

function commandOf(request: wire.AddOperatorRequest): PeerCommand {
  const { kind, regionId, storeId, toStoreId } = request
  switch (kind) {
    case 'transfer-leader':
    case 'add-peer':
    case 'remove-peer':
      return { kind, regionId, storeId }
    case 'transfer-peer':
      return { kind, regionId, storeId, toStoreId }
    default:
      throw new PolyraftError('InvalidArgument', `there is no operator '${kind}'`)
  }
}

function toWire(core: PdCore, of: Operator | EndedOperator): wire.WireOperator {
  const ended = of instanceof Operator ? undefined : of
  const operator = of instanceof Operator ? of : of.operator
  const nowMs = core.monotonicMs()
  return {
    regionId: operator.regionId,
    reason: operator.reason,
    origin: operator.origin,
    status: ended?.outcome ?? 'running',
    note: ended?.note ?? '',
    steps: operator.steps.map(describeStep),
    stepIndex: operator.stepIndex,
    ageMs: Math.round(nowMs - operator.startedAtMs),
    stepAgeMs: Math.round(nowMs - (ended?.endedAtMs ?? operator.stepAtMs)),
  }
}
