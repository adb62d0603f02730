/** A broken invariant: the process must not go on. Never caught to continue. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** On hot paths a message with figures is a function: built each time, it would cost more than the check. */
export function assert(condition: unknown, message: string | (() => string)): asserts condition {
  if (condition) return
  throw new AssertionError(typeof message === 'string' ? message : message())
}

/** Ends a switch over a discriminated union: the compiler proves that nothing is left. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`)
}
