/** One line of `--json`. */
export interface TargetRow {
  readonly name: string
  /** What is aimed at, in words. */
  readonly target: string
  readonly measured: number
  readonly unit: string
  readonly met: boolean
}

/** At least, or at most, a limit; no row when it was not measured. */
export function atLeast(name: string, measured: number | undefined, limit: number, unit: string): TargetRow[] {
  return measured === undefined ? [] : [{ name, target: `>= ${limit} ${unit}`, measured: rounded(measured), unit, met: measured >= limit }]
}

export function atMost(name: string, measured: number | undefined, limit: number, unit: string): TargetRow[] {
  return measured === undefined ? [] : [{ name, target: `<= ${limit} ${unit}`, measured: rounded(measured), unit, met: measured <= limit }]
}

/** How far a row is from its limit, 1 being just there and more being better. Limits of nothing at all (`<= 0`) are met or not. */
export function headroom({ target, measured, met }: TargetRow): number {
  const limit = Number(target.split(' ')[1])
  if (limit === 0 || measured === 0) return met ? 2 : 0
  return target.startsWith('>=') ? measured / limit : limit / measured
}

function rounded(value: number): number {
  return Number(value.toPrecision(3))
}
