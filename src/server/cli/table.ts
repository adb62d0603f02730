/** Plain tables for a terminal: columns padded to their widest cell, numbers to the right. */

export interface Column<Row> {
  readonly title: string
  readonly cell: (row: Row) => string
  readonly right?: boolean
}

const GAP = '  '

export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = rows.map((row) => columns.map((column) => column.cell(row)))
  const widths = columns.map((column, i) =>
    cells.reduce((width, row) => Math.max(width, row[i]!.length), column.title.length),
  )
  const line = (texts: readonly string[]) =>
    texts
      .map((text, i) => (columns[i]!.right ? text.padStart(widths[i]!) : text.padEnd(widths[i]!)))
      .join(GAP)
      .trimEnd()
  return `${[columns.map((column) => column.title), ...cells].map(line).join('\n')}\n`
}

/** Name and value, one a line. */
export function formatFields(fields: readonly (readonly [string, string])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length))
  return fields.map(([name, value]) => `${name.padEnd(width)}${GAP}${value}\n`).join('')
}
