/** `v1 l2 r3 u4`: membership changes as scripts write them. */
import { type ConfChangeSingle, ConfChangeType } from '../../../src/raft/types.ts'

const TYPES: Readonly<Record<string, ConfChangeType>> = {
  v: ConfChangeType.AddNode,
  l: ConfChangeType.AddLearnerNode,
  r: ConfChangeType.RemoveNode,
  u: ConfChangeType.UpdateNode,
}

export function parseChanges(text: string): ConfChangeSingle[] {
  return text
    .split(/\s+/)
    .filter((word) => word !== '')
    .map((word) => {
      const type = TYPES[word[0]!]
      if (type === undefined) throw new Error(`unknown change ${word}`)
      return { type, nodeId: Number(word.slice(1)) }
    })
}
