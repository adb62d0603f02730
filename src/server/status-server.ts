/**
 * HTTP for people and machines that watch a store:
 *
 *   /ready 200 or 503 · /status JSON · /metrics Prometheus · /config JSON · /region/:id JSON · / HTML
 *
 * Reads only, and never waits for the store: it answers while the store starts and while it stops.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { formatAddress, type HostPort } from '../base/address.ts'
import { errorMessage } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type { RegionStatus, StoreService } from '../store/port.ts'
import { listenOn } from './listen.ts'
import { formatMetrics, ProcessMetrics } from './metrics.ts'
import { regionJson } from './region-json.ts'
import { statusFacts } from './status-facts.ts'
import { renderPage } from './status-page.ts'

export interface StatusServerOptions {
  readonly listen: HostPort
  readonly store: StoreService
  /** Shown by /status and the page, such as addresses, version, labels. */
  readonly facts: () => Readonly<Record<string, unknown>>
  /** Section → key → value. */
  readonly config: object
  /** Figures besides the store's own. */
  readonly metrics: () => Readonly<Record<string, number>>
  readonly logger: Logger
}

interface Reply {
  readonly code: number
  readonly type: string
  readonly body: string
}

const TEXT = 'text/plain; charset=utf-8'
const HTML = 'text/html; charset=utf-8'

export async function startStatusServer(options: StatusServerOptions): Promise<StatusServer> {
  const server = createServer()
  const port = await listenOn(server, options.listen, '--status-addr')
  return new StatusServer(options, server, port)
}

export class StatusServer {
  /** host:port with the real port. */
  readonly address: string
  readonly #options: StatusServerOptions
  readonly #server: Server
  readonly #process = new ProcessMetrics()

  constructor(options: StatusServerOptions, server: Server, port: number) {
    this.#options = options
    this.#server = server
    this.address = formatAddress(options.listen.host, port)
    server.on('request', (request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        options.logger.error({ path: request.url, reason: errorMessage(error) }, 'status failed')
        send(response, { code: 500, type: TEXT, body: `${errorMessage(error)}\n` }, false)
      })
    })
  }

  close(): Promise<void> {
    this.#process.close()
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const headOnly = request.method === 'HEAD'
    if (request.method !== 'GET' && !headOnly) {
      response.setHeader('allow', 'GET, HEAD')
      send(response, { code: 405, type: TEXT, body: 'only GET\n' }, false)
      return
    }
    const path = (request.url ?? '/').split('?')[0]!
    send(response, await this.#route(path), headOnly)
  }

  async #route(path: string): Promise<Reply> {
    const { store, config } = this.#options
    if (path === '/') return { code: 200, type: HTML, body: this.#page() }
    if (path === '/ready') return readyReply(store.status().ready)
    if (path === '/status') return json(200, { ...this.#options.facts(), ...store.status() })
    if (path === '/metrics') return this.#metrics()
    if (path === '/config') return json(200, config)
    const region = /^\/region\/(\d{1,15})$/.exec(path)
    if (region !== null) return this.#region(Number(region[1]))
    return { code: 404, type: TEXT, body: `there is nothing at ${path}\n` }
  }

  async #metrics(): Promise<Reply> {
    const figures = { ...this.#options.store.metrics(), ...this.#options.metrics() }
    const body = formatMetrics(figures) + (await this.#process.text())
    return { code: 200, type: this.#process.contentType, body }
  }

  #region(regionId: number): Reply {
    const status = this.#options.store.regionStatus(regionId)
    if (status === undefined) return json(404, { error: `region ${regionId} is not on this store` })
    return json(200, regionJson(status))
  }

  #page(): string {
    const { store, facts } = this.#options
    const { ready, ...counts } = store.status()
    return renderPage({
      title: `polyraft store ${counts.storeId === 0 ? '' : counts.storeId}`.trim(),
      ready,
      facts: statusFacts({ ...counts, ...facts() }),
      regionCount: counts.regionCount,
      regions: this.#regionStatuses(),
    })
  }

  *#regionStatuses(): Iterable<RegionStatus> {
    const { store } = this.#options
    for (const regionId of store.regions()) {
      const status = store.regionStatus(regionId)
      if (status !== undefined) yield status
    }
  }
}

function readyReply(ready: boolean): Reply {
  return { code: ready ? 200 : 503, type: TEXT, body: ready ? 'ready\n' : 'not ready\n' }
}

function json(code: number, value: object): Reply {
  const body = `${JSON.stringify(value, undefined, 2)}\n`
  return { code, type: 'application/json; charset=utf-8', body }
}

function send(response: ServerResponse, reply: Reply, headOnly: boolean): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  response.writeHead(reply.code, {
    'content-type': reply.type,
    'content-length': Buffer.byteLength(reply.body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  })
  response.end(headOnly ? undefined : reply.body)
}
