/** One line of `--json`. */
export interface TargetRow {
  readonly name: string
  /** What is aimed at, in words. */
  readonly target: string
  /** null: it was not measured, for a reason that the run told. Then it is not met either. */
  readonly measured: number | null
  readonly unit: string
  readonly met: boolean
}

/** At least a limit. */
export function atLeast(name: string, measured: number | undefined, limit: number, unit: string): TargetRow {
  return { name, target: `>= ${limit} ${unit}`, measured: rounded(measured), unit, met: measured !== undefined && measured >= limit }
}

/** At most a limit. */
export function atMost(name: string, measured: number | undefined, limit: number, unit: string): TargetRow {
  return { name, target: `<= ${limit} ${unit}`, measured: rounded(measured), unit, met: measured !== undefined && measured <= limit }
}

/** How far a row is from its limit, 1 being just there and more being better. Limits of nothing at all (`<= 0`) are met or not. */
export function headroom({ target, measured, met }: TargetRow): number {
  const limit = Number(target.split(' ')[1])
  if (measured === null) return 0
  if (limit === 0 || measured === 0) return met ? 2 : 0
  return target.startsWith('>=') ? measured / limit : limit / measured
}

function rounded(value: number | undefined): number | null {
  return value === undefined ? null : Number(value.toPrecision(3))
}
