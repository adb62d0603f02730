/**
 * Where the core tells what it does; both optional, and nothing is built without them. The logger
 * gets text for people, the writer gets one JSON object a line for tools (state-trace).
 */
import type { Logger } from '../base/logger.ts'

export type RaftLogger = Pick<Logger, 'debug' | 'info' | 'warn'>

export interface TraceWriter {
  /** One event, without the line's end. Lines of all nodes of a group go to one writer, in order. */
  write(line: string): void
}
