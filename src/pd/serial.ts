/** Runs asynchronous steps one after another, in the order they were asked for. */
export class Serial {
  #last: Promise<unknown> = Promise.resolve()

  run<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#last.then(step)
    // The queue goes on behind a step that failed; its caller has the failure.
    this.#last = result.catch(() => undefined)
    return result
  }

  /** Resolves when everything asked for so far is done. */
  async idle(): Promise<void> {
    await this.#last
  }
}
