/** The runner itself: what a failing step, a missing command and missing data look like. */
import { describe, expect, test } from 'vitest'
import { ScriptData } from './data.ts'
import { ScriptEnvironment } from './environment.ts'
import { rewriteScript, runScript } from './runner.ts'

const SCRIPT = `# Two nodes.
add-nodes 2 voters=(1,2) index=2
----
ok

campaign 1
----
ok

process-ready 1
----
Ready MustSync=true:
Lead:0 State:StateCandidate
HardState Term:1 Vote:1 Commit:2
Messages:
1->2 MsgVote Term:1 Log:1/2
`

function run(text: string): { passed: number; failure: string } {
  let passed = 0
  try {
    runScript('two.txt', text, new ScriptEnvironment(), () => passed++)
    return { passed, failure: '' }
  } catch (error) {
    return { passed, failure: (error as Error).message }
  }
}

describe('a script', () => {
  test('passes step by step', () => {
    expect(run(SCRIPT)).toEqual({ passed: 3, failure: '' })
  })

  test('fails at the step that differs, and shows the lines that do', () => {
    const broken = SCRIPT.replace('Vote:1 Commit:2', 'Vote:2 Commit:2').replace('1->2', '1->3')
    const { passed, failure } = run(broken)
    expect(passed).toBe(2)
    expect(failure.trimEnd()).toBe(
      [
        'two.txt:10 process-ready 1',
        '    Ready MustSync=true:',
        '    Lead:0 State:StateCandidate',
        '  - HardState Term:1 Vote:2 Commit:2',
        '  + HardState Term:1 Vote:1 Commit:2',
        '    Messages:',
        '  - 1->3 MsgVote Term:1 Log:1/2',
        '  + 1->2 MsgVote Term:1 Log:1/2',
      ].join('\n'),
    )
  })

  test('shows lines that are missing and lines that are too many', () => {
    expect(run(SCRIPT.replace('Messages:\n', '')).failure).toContain('\n  + Messages:\n')
    expect(run(`${SCRIPT}more\n`).failure).toContain('\n  - more')
  })

  test('names the step that cannot be run', () => {
    expect(run(SCRIPT.replace('campaign', 'champagne')).failure).toBe('two.txt:6 champagne 1')
  })

  test('may use our own commands only when it is one of ours', () => {
    const own = 'add-nodes 1 voters=(1) index=2\n----\nok\n\nlease 1\n----\nfalse\n'
    expect(run(own).failure).toBe('own.txt:5 lease 1'.replace('own', 'two'))
    expect(() => runScript('own.txt', own, new ScriptEnvironment(true), () => {})).not.toThrow()
  })

  test('is rewritten with what it prints now, and nothing else', () => {
    const broken = SCRIPT.replace('Vote:1 Commit:2', 'Vote:2 Commit:2').replace('Messages:\n', '')
    expect(rewriteScript('two.txt', broken, new ScriptEnvironment())).toBe(SCRIPT)
  })
})

describe('public data that is absent', () => {
  test('is told in one line, and offers nothing to run', () => {
    const lines: string[] = []
    const data = new ScriptData('/no/such/folder', (line) => lines.push(line))
    expect(lines).toEqual(['skipped: no public raft test data at /no/such/folder'])
    expect(data.isPresent).toBe(false)
    expect(data.files('interaction')).toEqual([])
  })
})
