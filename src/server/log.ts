/** pino as the Logger of a process: JSON lines into a file, or to standard error. */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { destination, pino } from 'pino'
import { errorMessage, PolyraftError, systemErrorCode } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type { LogLevel } from './log-levels.ts'

const STANDARD_ERROR = 2

/** Lines are written at once: the last ones before a crash are those that are wanted. */
export function openLogger(level: LogLevel, file: string): Logger {
  const options = { level, base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime }
  if (file === '') return pino(options, patient(destination({ dest: STANDARD_ERROR, sync: true })))
  try {
    makeParent(file)
    return pino(options, patient(destination({ dest: file, append: true, sync: true })))
  } catch (error) {
    const message = `cannot write the log file ${file}: ${errorMessage(error)}`
    throw new PolyraftError('DataDirUnusable', message, { file }, { cause: error })
  }
}

/**
 * A log whose disk is full loses lines, and must not take the process with it: the store may be on
 * another disk, or be about to free some of this one.
 */
function patient(stream: ReturnType<typeof destination>): ReturnType<typeof destination> {
  stream.on('error', () => {})
  return stream
}

/** One level: mkdir's `recursive` never ends on some paths below /proc. */
function makeParent(file: string): void {
  try {
    mkdirSync(dirname(file))
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw error
  }
}
