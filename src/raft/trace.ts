/** Where the core tells what it decided. Optional: without one, no text is ever built. */
import type { Logger } from '../base/logger.ts'

export type RaftLogger = Pick<Logger, 'debug' | 'info' | 'warn'>
