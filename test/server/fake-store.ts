/** A store in a map, and a gRPC server around it. */
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { compareBytes } from '../../src/base/bytes.ts'
import {
  OK_RESPONSE,
  pairsResponse,
  RawKind,
  type RawRequest,
  type RawResponse,
  valueResponse,
} from '../../src/protocol/raw.ts'
import { grpcServerOptions } from '../../src/server/grpc-options.ts'
import {
  addTikvService,
  type TikvService,
  type TikvServiceOptions,
} from '../../src/server/tikv-service.ts'
import type { StoreService, StoreStatus } from '../../src/store/port.ts'

export class FakeStore implements StoreService {
  readonly rows = new Map<string, Buffer>()
  /** Requests that are held back while `holding`. */
  readonly held: RawRequest[] = []
  holding = false
  executed = 0

  execute(request: RawRequest): void {
    this.executed++
    if (this.holding) this.held.push(request)
    else request.sink.respond(request, this.answer(request))
  }

  release(): void {
    this.holding = false
    for (const request of this.held.splice(0)) {
      request.sink.respond(request, this.answer(request))
    }
  }

  answer(request: RawRequest): RawResponse {
    const { kind, keys, values } = request
    if (kind === RawKind.Get) return valueResponse(this.#get(request.key))
    if (kind === RawKind.Put) this.#put(request.key, request.value)
    if (kind === RawKind.Delete) this.#delete(request.key)
    if (kind === RawKind.BatchPut) for (const [i, key] of keys.entries()) this.#put(key, values[i]!)
    if (kind === RawKind.BatchDelete) for (const key of keys) this.#delete(key)
    if (kind === RawKind.BatchGet) return pairsResponse(keys.flatMap((key) => this.#pair(key)))
    if (kind === RawKind.Scan) return pairsResponse(this.#scan(request))
    return OK_RESPONSE
  }

  #get(key: Buffer): Buffer | undefined {
    return this.rows.get(key.toString('latin1'))
  }

  #put(key: Buffer, value: Buffer): void {
    this.rows.set(key.toString('latin1'), Buffer.from(value))
  }

  #delete(key: Buffer): void {
    this.rows.delete(key.toString('latin1'))
  }

  #pair(key: Buffer): Buffer[] {
    const value = this.#get(key)
    return value === undefined ? [] : [key, value]
  }

  #scan(request: RawRequest): Buffer[] {
    return [...this.rows.keys()]
      .map((key) => Buffer.from(key, 'latin1'))
      .sort(compareBytes)
      .filter((key) => compareBytes(key, request.key) >= 0)
      .slice(0, request.limit)
      .flatMap((key) => this.#pair(key))
  }

  status(): StoreStatus {
    return { clusterId: 1, storeId: 1, ready: true, regionCount: 0, leaderCount: 0 }
  }

  regionStatus(): undefined {
    return undefined
  }

  regions(): number[] {
    return []
  }

  metrics(): Record<string, number> {
    return {}
  }

  async close(): Promise<void> {}
}

export interface RunningServer {
  readonly address: string
  readonly service: TikvService
  /** Drops every connection. */
  stop(): Promise<void>
}

export async function startServer(
  store: StoreService,
  options: TikvServiceOptions = {},
  port = 0,
): Promise<RunningServer> {
  const server = new Server(grpcServerOptions())
  const service = addTikvService(server, store, options)
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, got) => {
      if (error) reject(error)
      else resolve(got)
    })
  })
  return {
    address: `127.0.0.1:${bound}`,
    service,
    stop: async () => server.forceShutdown(),
  }
}

/** Lets the event loop go round: what is under way in this process moves on. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** Waits for a condition that other events of this process bring about. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turns(1)
}
