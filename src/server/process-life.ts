/**
 * The life of a server process: runs until it is told to stop or breaks, and turns either into an
 * exit code. The first SIGTERM or SIGINT stops gracefully (0), a second one at once (1).
 */
import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js'
import { errorMessage } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { reportError } from './report.ts'

export interface Service {
  close(): Promise<void>
}

/** Never returns while the service runs; ends the process. `start` gets what to call when it breaks. */
export async function runProcess(
  logger: Logger,
  start: (onFatal: (error: Error) => void) => Promise<Service>,
): Promise<void> {
  // Its own lines on standard error would stand beside ours, which say what to do.
  setLogVerbosity(logVerbosity.NONE)
  const life = new ProcessLife(logger)
  life.listen()
  life.onStarted(await start((error) => life.onFatal(error)))
}

class ProcessLife {
  readonly #logger: Logger
  #service: Service | undefined = undefined
  #stopping = false

  constructor(logger: Logger) {
    this.#logger = logger
  }

  listen(): void {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => this.#onSignal(signal))
    }
    process.on('uncaughtException', (error) => this.onFatal(error))
    process.on('unhandledRejection', (reason) => {
      this.onFatal(reason instanceof Error ? reason : new Error(String(reason)))
    })
  }

  onStarted(service: Service): void {
    this.#service = service
  }

  onFatal(error: Error): void {
    this.#logger.error({ reason: error.message, stack: error.stack }, 'fatal: the process ends')
    reportError(error)
    process.exit(1)
  }

  #onSignal(signal: string): void {
    if (this.#stopping) process.exit(1)
    this.#stopping = true
    this.#logger.info({ signal }, 'stopping')
    // Nothing is promised to anyone while it starts, and every step of it survives a crash.
    if (this.#service === undefined) process.exit(0)
    this.#service.close().then(
      () => process.exit(0),
      (error: unknown) => {
        this.#logger.error({ reason: errorMessage(error) }, 'stopping failed')
        reportError(error)
        process.exit(1)
      },
    )
  }
}
