/**
 * PD as a store sees it while it starts: a call that no PD answers is repeated until one does, so a
 * store may be started before PD, or while PD is away. Once the store is open it handles that itself,
 * and calls go straight through.
 *
 * Every call of a start may be repeated: ids are only skipped, and registering or bootstrapping twice
 * does what once does.
 */
import { PolyraftError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type { PdClient } from '../pd/port.ts'

export interface PatienceOptions {
  readonly logger: Logger
  /** Ends the repetition: the store is open, or its start was given up. */
  readonly signal: AbortSignal
}

const START_CALLS: ReadonlySet<string | symbol> = new Set<keyof PdClient>([
  'allocId',
  'bootstrap',
  'getRegionById',
  'getStore',
  'initialRegions',
  'isBootstrapped',
  'putStore',
])

/** Each attempt waits for PD by itself, for seconds, so none follows at once. */
export async function untilPdAnswers<T>(
  call: () => Promise<T>,
  { logger, signal }: PatienceOptions,
): Promise<T> {
  for (;;) {
    try {
      return await call()
    } catch (error) {
      const away = error instanceof PolyraftError && error.code === 'Unavailable'
      if (!away || signal.aborted) throw error
      logger.warn({ reason: error.message }, 'waiting for PD')
    }
  }
}

export function patientPd(pd: PdClient, options: PatienceOptions): PdClient {
  return new Proxy(pd, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      if (options.signal.aborted || !START_CALLS.has(name)) return member.bind(target)
      return (...args: unknown[]) =>
        untilPdAnswers(() => member.apply(target, args) as Promise<unknown>, options)
    },
  })
}
