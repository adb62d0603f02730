/**
 * The life of a server process: runs until it is told to stop or breaks, and turns either into an
 * exit code. The first SIGTERM or SIGINT stops gracefully (0), also while the service still starts; a
 * second one stops at once (1). Under a supervisor, signals of the terminal are for the supervisor
 * alone, which then sends SIGTERM.
 */
import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js'
import { errorMessage, isOperatingError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { giveHeapRoom } from './heap-room.ts'
import { reportError } from './report.ts'

/** In the environment of processes that `polyraft up` starts. */
export const SUPERVISED = 'POLYRAFT_SUPERVISED'

export interface Service {
  close(): Promise<void>
}

/**
 * `start` gets what to call when the service breaks, and a signal that gives up the start: it then
 * rejects, with everything released, or resolves all the same.
 */
export async function runProcess(
  logger: Logger,
  start: (onFatal: (error: Error) => void, signal: AbortSignal) => Promise<Service>,
): Promise<void> {
  // Its own lines on standard error would stand beside ours, which say what to do.
  setLogVerbosity(logVerbosity.NONE)
  giveHeapRoom()
  const life = new ProcessLife(logger)
  life.listen()
  const service = start((error) => life.onFatal(error), life.stopped)
  await service.then(
    (started) => life.onStarted(started),
    (error: unknown) => {
      if (!life.stopped.aborted) throw error
      logger.info({ reason: errorMessage(error) }, 'the start was given up')
      process.exit(0)
    },
  )
}

class ProcessLife {
  readonly #logger: Logger
  readonly #stop = new AbortController()
  #service: Service | undefined = undefined

  constructor(logger: Logger) {
    this.#logger = logger
  }

  get stopped(): AbortSignal {
    return this.#stop.signal
  }

  listen(): void {
    // It may be a file on a full disk.
    process.stderr.on('error', () => {})
    process.on('SIGTERM', () => this.#onSignal('SIGTERM'))
    if (process.env[SUPERVISED] === undefined) {
      process.on('SIGINT', () => this.#onSignal('SIGINT'))
    } else {
      for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
    }
    process.on('uncaughtException', (error) => this.onFatal(error))
    process.on('unhandledRejection', (reason) => {
      this.onFatal(reason instanceof Error ? reason : new Error(String(reason)))
    })
  }

  onStarted(service: Service): void {
    this.#service = service
    if (this.stopped.aborted) this.#close(service)
  }

  onFatal(error: Error): void {
    const stack = isOperatingError(error) ? {} : { stack: error.stack }
    this.#logger.error({ reason: error.message, ...stack }, 'fatal: the process ends')
    reportError(error)
    process.exit(1)
  }

  #onSignal(signal: string): void {
    if (this.stopped.aborted) process.exit(1)
    this.#logger.info({ signal }, 'stopping')
    this.#stop.abort()
    if (this.#service !== undefined) this.#close(this.#service)
  }

  #close(service: Service): void {
    service.close().then(
      () => process.exit(0),
      (error: unknown) => {
        this.#logger.error({ reason: errorMessage(error) }, 'stopping failed')
        reportError(error)
        process.exit(1)
      },
    )
  }
}
