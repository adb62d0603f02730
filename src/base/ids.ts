/**
 * Names for the numbers that identify things. They are flavoured, not wrapped: a plain number fits
 * any of them, but a LogIndex is refused where a Term is wanted, at no cost at run time.
 */
declare const flavour: unique symbol
type Flavour<Name extends string> = number & { readonly [flavour]?: Name }

export type ClusterId = Flavour<'ClusterId'>
export type StoreId = Flavour<'StoreId'>
export type RegionId = Flavour<'RegionId'>
export type PeerId = Flavour<'PeerId'>
export type Term = Flavour<'Term'>
export type LogIndex = Flavour<'LogIndex'>
/** Number of a raft ready; rises strictly per peer. */
export type ReadyNumber = Flavour<'ReadyNumber'>

/** Zero is never a valid id: it stands for "none" on the wire and in raft. */
export const NO_ID = 0
