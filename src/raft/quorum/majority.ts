/** Arithmetic of one majority. Pure; callers gather the numbers into their own scratch array. */

export const VoteResult = { Pending: 0, Lost: 1, Won: 2 } as const
export type VoteResult = (typeof VoteResult)[keyof typeof VoteResult]

/** Voters that make a majority of `count`. */
export function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1
}

/**
 * The largest number that a majority of the first `count` values reaches; sorts them in place.
 * No voters at all agree on everything, which lets an absent half of a joint quorum drop out.
 */
export function majorityIndex(values: number[], count: number): number {
  if (count === 0) return Number.POSITIVE_INFINITY
  sortPrefix(values, count)
  return values[count - majorityOf(count)]!
}

/** Insertion sort: there are three or five of them. */
function sortPrefix(values: number[], count: number): void {
  for (let i = 1; i < count; i++) {
    const value = values[i]!
    let j = i - 1
    while (j >= 0 && values[j]! > value) {
      values[j + 1] = values[j]!
      j--
    }
    values[j + 1] = value
  }
}

/** Outcome of a vote among `count` voters, of whom so many said yes and no. */
export function majorityVote(count: number, granted: number, rejected: number): VoteResult {
  if (count === 0) return VoteResult.Won
  const needed = majorityOf(count)
  if (granted >= needed) return VoteResult.Won
  return count - rejected >= needed ? VoteResult.Pending : VoteResult.Lost
}
