/**
 * The script language of public raft test data:
 *
 *   # comment
 *   command positional key=value key=(a, b)      a trailing \ continues the line
 *   input lines …
 *   ----
 *   expected output, up to the first blank line
 */

export interface ScriptArg {
  readonly key: string
  readonly values: readonly string[]
}

export interface ScriptStep {
  readonly file: string
  /** Of the command, from 1. */
  readonly line: number
  readonly command: string
  readonly args: readonly ScriptArg[]
  readonly input: string
  /** Ends in a newline. */
  readonly expected: string
  /** Its lines: from here, up to but not including there; counted from 0. */
  readonly expectedFrom: number
  readonly expectedTo: number
}

export function parseScript(file: string, text: string): ScriptStep[] {
  const lines = text.split('\n')
  const steps: ScriptStep[] = []
  let at = 0
  while (at < lines.length) {
    const line = at + 1
    let directive = lines[at++]!.trim()
    if (directive === '' || directive.startsWith('#')) continue
    while (directive.endsWith('\\')) directive = directive.slice(0, -1) + lines[at++]!.trim()
    const input: string[] = []
    while (at < lines.length && lines[at] !== '----') input.push(lines[at++]!)
    at++
    const expectedFrom = at
    let expected = ''
    while (at < lines.length && lines[at]!.trim() !== '') expected += `${lines[at++]}\n`
    const [command, ...args] = splitDirective(directive)
    steps.push({
      file,
      line,
      command: command!,
      args: args.map(parseArg),
      input: input.join('\n').trim(),
      expected,
      expectedFrom,
      expectedTo: at,
    })
  }
  return steps
}

/** At blanks outside parentheses. */
function splitDirective(directive: string): string[] {
  const words: string[] = []
  let word = ''
  let depth = 0
  for (const char of `${directive} `) {
    if (char === '(') depth++
    if (char === ')') depth--
    if (char !== ' ' || depth > 0) word += char
    else if (word !== '') {
      words.push(word)
      word = ''
    }
  }
  if (depth !== 0) throw new Error(`unbalanced parentheses: ${directive}`)
  return words
}

function parseArg(word: string): ScriptArg {
  const equals = word.indexOf('=')
  if (equals < 0) return { key: word, values: [] }
  const key = word.slice(0, equals)
  const value = word.slice(equals + 1)
  if (!value.startsWith('(')) return { key, values: [value] }
  const values = value.slice(1, -1).split(',')
  return { key, values: values.map((item) => item.trim()).filter((item) => item !== '') }
}
