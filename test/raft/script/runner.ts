/** Runs the steps of a script against an environment; a step that differs fails with both texts. */
import type { ScriptEnvironment } from './environment.ts'
import { parseScript, type ScriptStep } from './parser.ts'
import { comparable, difference } from './printer.ts'

/** Called after each step that was as expected. */
export function runScript(
  file: string,
  text: string,
  environment: ScriptEnvironment,
  onPassed: () => void,
): void {
  for (const step of parseScript(file, text)) {
    const expected = comparable(step.expected)
    const actual = comparable(runStep(step, environment))
    if (actual !== expected) throw new Error(`${titleOf(step)}\n${difference(expected, actual)}`)
    onPassed()
  }
}

/** The script with what its steps print now; comments and blank lines stay. */
export function rewriteScript(file: string, text: string, environment: ScriptEnvironment): string {
  const lines = text.split('\n')
  const out: string[] = []
  let at = 0
  for (const step of parseScript(file, text)) {
    out.push(...lines.slice(at, step.expectedFrom))
    out.push(...comparable(runStep(step, environment)).trimEnd().split('\n'))
    at = step.expectedTo
  }
  return [...out, ...lines.slice(at)].join('\n')
}

function runStep(step: ScriptStep, environment: ScriptEnvironment): string {
  try {
    return environment.run(step)
  } catch (error) {
    throw new Error(titleOf(step), { cause: error })
  }
}

function titleOf({ file, line, command, args }: ScriptStep): string {
  return `${file}:${line} ${[command, ...args.map(({ key }) => key)].join(' ')}`
}
