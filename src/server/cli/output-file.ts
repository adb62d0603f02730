/**
 * A file that a command writes as a whole: it takes its name when it is complete, so one that fails or is
 * interrupted leaves what was there, and nothing else. What is no regular file (a pipe, a device) is
 * written as it is.
 */
import { once } from 'node:events'
import { createWriteStream, rmSync, type Stats, type WriteStream } from 'node:fs'
import { access, constants, realpath, rename, stat } from 'node:fs/promises'
import { errorMessage, PolyraftError, systemErrorCode } from '../../base/errors.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export class OutputFile {
  readonly stream: WriteStream
  /** Where its bytes are until it is complete; undefined = where they belong. */
  readonly #temporary: string | undefined
  readonly #target: string
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.#stopListening()
    this.#remove()
    process.kill(process.pid, signal)
  }

  private constructor(stream: WriteStream, target: string, temporary: string | undefined) {
    this.stream = stream
    this.#target = target
    this.#temporary = temporary
    if (temporary !== undefined) for (const signal of SIGNALS) process.on(signal, this.#onSignal)
  }

  /** Rejects with InvalidArgument when it cannot be written. */
  static async open(file: string): Promise<OutputFile> {
    try {
      const found = await stat(file).catch(ignoreAbsence)
      if (found?.isDirectory() === true) throw new Error('it is a directory')
      if (file.startsWith('/dev/') || found?.isFile() === false) {
        return new OutputFile(await opened(createWriteStream(file)), file, undefined)
      }
      return await OutputFile.#beside(file, found)
    } catch (error) {
      const message = `cannot write ${file}: ${errorMessage(error)}`
      throw new PolyraftError('InvalidArgument', message, { file }, { cause: error })
    }
  }

  static async #beside(file: string, found: Stats | undefined): Promise<OutputFile> {
    // What a link points to is replaced, not the link; and only what could be written in place.
    const target = found === undefined ? file : await realpath(file)
    if (found !== undefined) await access(target, constants.W_OK)
    const temporary = `${target}.${process.pid}.tmp`
    const mode = found === undefined ? 0o666 : found.mode & 0o777
    const stream = createWriteStream(temporary, { flags: 'wx', mode, flush: true })
    return new OutputFile(await opened(stream), target, temporary)
  }

  /** All of it is written and the stream has ended. */
  async complete(): Promise<void> {
    if (this.#temporary !== undefined) await rename(this.#temporary, this.#target)
    this.#stopListening()
  }

  /** Ends it however far it came. */
  async abandon(): Promise<void> {
    if (!this.stream.closed) {
      this.stream.on('error', () => {})
      // Also of one that has failed, where once() would reject.
      const ended = new Promise<void>((resolve) => this.stream.once('close', () => resolve()))
      this.stream.destroy()
      await ended
    }
    this.#stopListening()
    this.#remove()
  }

  #remove(): void {
    if (this.#temporary !== undefined) rmSync(this.#temporary, { force: true })
  }

  #stopListening(): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal)
  }
}

function ignoreAbsence(error: unknown): undefined {
  if (systemErrorCode(error) !== 'ENOENT') throw error
}

async function opened(stream: WriteStream): Promise<WriteStream> {
  await once(stream, 'open')
  return stream
}
