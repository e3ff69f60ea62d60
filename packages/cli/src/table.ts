export interface Column<T> {
  readonly title: string
  readonly value: (row: T) => string
  /** Numbers and sizes read better flush right. */
  readonly right?: boolean
}

/** Rows under aligned titles, two blanks between columns, none at the end of a line. Pure. */
export function formatTable<T>(columns: readonly Column<T>[], rows: readonly T[]): string {
  const cells = [columns.map(({ title }) => title), ...rows.map(row => columns.map(({ value }) => value(row)))]
  const widths = columns.map((_, at) => Math.max(...cells.map(line => [...(line[at] ?? '')].length)))
  return cells
    .map(line =>
      line
        .map((cell, at) => {
          const blanks = ' '.repeat((widths[at] ?? 0) - [...cell].length)
          return columns[at]?.right ? blanks + cell : cell + blanks
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
