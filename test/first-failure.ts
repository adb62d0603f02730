/** A "thread" of a test that fails as a worker does: the first error is told, and nothing runs after it. */
export class FirstFailure {
  readonly #tell: (error: unknown) => void
  #failed = false

  constructor(tell: (error: unknown) => void) {
    this.#tell = tell
  }

  get failed(): boolean {
    return this.#failed
  }

  guard(run: () => void): void {
    if (this.#failed) return
    try {
      run()
    } catch (error) {
      this.#failed = true
      this.#tell(error)
    }
  }
}
