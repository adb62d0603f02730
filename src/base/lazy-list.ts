/**
 * A list that is undefined while it is empty: thousands of regions have several that hold something
 * only now and then.
 *
 *   this.#items = withItem(this.#items, item)
 */
export function withItem<T>(list: T[] | undefined, item: T): T[] {
  if (list === undefined) return [item]
  list.push(item)
  return list
}
