/** Writing to a stream that may be slow, or whose reader may go away. */
import { once } from 'node:events'
import type { Writable } from 'node:stream'

/**
 * A stream's writer that waits when the stream is full and rejects with what broke the stream. One
 * at a time for each stream.
 */
export class Output {
  #stream: Writable
  #error: Error | undefined = undefined
  #onError = (error: Error): void => {
    this.#error = error
  }

  constructor(stream: Writable) {
    this.#stream = stream
    stream.on('error', this.#onError)
  }

  async write(text: string | Buffer): Promise<void> {
    if (this.#error !== undefined) throw this.#error
    if (text.length > 0 && !this.#stream.write(text)) await once(this.#stream, 'drain')
  }

  /** Waits until everything written has left the process. */
  async flush(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#stream.write('', (error) => (error == null ? resolve() : reject(error)))
    })
    if (this.#error !== undefined) throw this.#error
  }

  /** Ends a file; a terminal or pipe stays open. */
  async end(): Promise<void> {
    if (this.#error !== undefined) throw this.#error
    const finished = once(this.#stream, 'close')
    this.#stream.end()
    await finished
    if (this.#error !== undefined) throw this.#error
  }
}

/** Writes a command's whole answer, and waits until it has left the process. */
export async function print(stream: Writable, text: string | Buffer): Promise<void> {
  const output = new Output(stream)
  await output.write(text)
  await output.flush()
}

/** A whole answer as JSON, for people, too. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
