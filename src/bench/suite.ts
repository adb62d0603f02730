/** What a module of this folder exports to be a suite of `polyraft bench`. */
export interface BenchSuite {
  run(options: BenchOptions): Promise<void>
}

export interface BenchOptions {
  readonly json: boolean
  /** Length of each measurement; undefined = the suite's own. */
  readonly seconds: number | undefined
  /** What followed the suite's name: parts of it, mostly. */
  readonly args: readonly string[]
}
