/** The arguments of a step, read as a command expects them. */
import type { ScriptStep } from './parser.ts'

/** The positional argument as a number. */
export function number(step: ScriptStep, position: number): number {
  return Number(word(step, position))
}

/** The positional argument as it is written. */
export function word(step: ScriptStep, position: number): string {
  const arg = step.args[position]
  if (arg === undefined) throw new Error(`${step.file}:${step.line}: too few arguments`)
  return arg.key
}

export function value(step: ScriptStep, key: string): string | undefined {
  return step.args.find((arg) => arg.key === key)?.values[0]
}

export function flag(step: ScriptStep, key: string): boolean {
  return value(step, key) === 'true'
}

export function ids(step: ScriptStep, key: string): number[] {
  return (step.args.find((arg) => arg.key === key)?.values ?? []).map(Number)
}
