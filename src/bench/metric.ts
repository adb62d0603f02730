/** A counter's or gauge's value in what a store answers to /metrics; undefined where it is not there. */
export function metricIn(text: string, name: string): number | undefined {
  const value = new RegExp(`^polyraft_${name}(?:_total)? (.*)$`, 'm').exec(text)?.[1]
  return value === undefined ? undefined : Number(value)
}
