/** Options that a program gives to the library: one that is not known is misspelt, and would be missed. */
import { PolyraftError } from './errors.ts'
import { didYouMean } from './suggest.ts'

/** Names of all options of an interface; complete by its type. */
export type OptionNames<Options> = { readonly [Name in keyof Required<Options>]: true }

/** Throws InvalidArgument. `taker` is who takes them, for messages. */
export function mustBeKnown<Options extends object>(
  taker: string,
  options: Options,
  known: OptionNames<Options>,
): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new PolyraftError('InvalidArgument', `${taker} takes its options as an object`)
  }
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(known, name)) continue
    throw new PolyraftError(
      'InvalidArgument',
      `${taker} has no option "${name}"${didYouMean(name, Object.keys(known))}`,
    )
  }
}
