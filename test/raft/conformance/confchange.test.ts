/** Membership arithmetic against public scripts. */
import { afterAll, describe, expect, test } from 'vitest'
import { changeSimple, enterJoint, leaveJoint } from '../../../src/raft/confchange/changer.ts'
import type { Membership } from '../../../src/raft/confchange/membership.ts'
import { restoreMembership } from '../../../src/raft/confchange/restore.ts'
import { describeMembership, describeProgress } from '../../../src/raft/describe.ts'
import { progressStatus } from '../../../src/raft/status.ts'
import { Tracker } from '../../../src/raft/tracker/tracker.ts'
import { parseChanges } from '../script/changes.ts'
import { publicData } from '../script/data.ts'
import { parseScript, type ScriptStep } from '../script/parser.ts'
import { EMPTY_CONF_STATE } from '../script/storage.ts'

const STEPS_IN_ALL = 58
const files = publicData.files('confchange')
let passed = 0
let total = 0

function change(membership: Membership, step: ScriptStep): Membership | string {
  const changes = parseChanges(step.input)
  if (step.command === 'simple') return changeSimple(membership, changes)
  if (step.command === 'leave-joint') return leaveJoint(membership)
  const autoLeave = step.args.some(({ key, values }) => key === 'autoleave' && values[0] === 'true')
  return enterJoint(membership, changes, autoLeave)
}

describe.skipIf(!publicData.isPresent)('confchange scripts', () => {
  test.each(files)('%s', (name) => {
    let membership = restoreMembership(EMPTY_CONF_STATE)
    const tracker = new Tracker(10, 0)
    const steps = parseScript(name, publicData.read('confchange', name))
    total += steps.length
    steps.forEach((step, lastIndex) => {
      const next = change(membership, step)
      let actual = `${next}\n`
      if (typeof next !== 'string') {
        membership = next
        tracker.reconcile(next, Math.max(lastIndex, 1), true)
        actual = `${describeMembership(next)}\n`
        for (const progress of tracker.all) {
          actual += `${progress.id}: ${describeProgress(progressStatus(progress))}\n`
        }
      }
      expect(actual, `${name}:${step.line}`).toBe(step.expected)
      passed++
    })
  })

  test('all steps were run', () => {
    expect(`${passed}/${total}`).toBe(`${STEPS_IN_ALL}/${STEPS_IN_ALL}`)
  })

  afterAll(() => {
    console.log(`confchange: ${passed}/${total} steps in ${files.length} files`)
  })
})
