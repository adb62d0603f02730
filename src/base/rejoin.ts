/** What an operator can do with a store whose data is damaged: other replicas have it. */
export const REJOIN =
  'to let other stores replace what it had, run `polyraft ctl store delete ID --physically-destroyed`, ' +
  'delete the whole data directory and start the store again: it joins as a new one'
