/**
 * Serves a bidirectional stream whose requests get one answer each, in order. Neither pausing in
 * the `data` event nor iterating would do: a paused server stream of grpc-js may still report its
 * end before the last answer is written, and iterating destroys a stream that ended.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js'
import { errorMessage } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { Ring } from '../base/ring.ts'

/** Requests that wait on one stream before its reading stops. */
const WAITING_MAX = 64

export class AnswerStream<Request, Response> {
  readonly #call: ServerDuplexStream<Request, Response>
  readonly #answer: (request: Request) => Promise<Response>
  readonly #waiting = new Ring<Request>()
  #answering = false
  #ended = false

  constructor(
    call: ServerDuplexStream<Request, Response>,
    answer: (request: Request) => Promise<Response>,
    logger: Logger,
  ) {
    this.#call = call
    this.#answer = answer
    call.on('data', (request: Request) => {
      this.#waiting.push(request)
      if (this.#waiting.length >= WAITING_MAX) call.pause()
      void this.#answerWaiting()
    })
    call.on('end', () => {
      this.#ended = true
      void this.#answerWaiting()
    })
    call.on('cancelled', () => this.#waiting.clear())
    call.on('error', (error: unknown) => {
      logger.debug({ error: errorMessage(error) }, 'a client stream broke')
    })
  }

  async #answerWaiting(): Promise<void> {
    if (this.#answering) return
    this.#answering = true
    for (let request = this.#waiting.shift(); request; request = this.#waiting.shift()) {
      const response = await this.#answer(request)
      if (this.#call.destroyed) return
      if (!this.#call.write(response)) await this.#drained()
      if (this.#call.isPaused()) this.#call.resume()
    }
    this.#answering = false
    if (this.#ended) this.#call.end()
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const call = this.#call
      // Both go with the first: the stream lives as long as its client.
      const done = (): void => {
        call.off('drain', done)
        call.off('close', done)
        resolve()
      }
      call.on('drain', done)
      call.on('close', done)
    })
  }
}
