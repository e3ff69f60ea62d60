/** One line of `--json`. */
export interface TargetRow {
  readonly name: string
  /** What is aimed at, in words. */
  readonly target: string
  readonly measured: number
  readonly unit: string
  readonly met: boolean
}

/** At least, or at most, a limit. */
export function atLeast(name: string, measured: number, limit: number, unit: string): TargetRow {
  return { name, target: `>= ${limit} ${unit}`, measured: rounded(measured), unit, met: measured >= limit }
}

export function atMost(name: string, measured: number, limit: number, unit: string): TargetRow {
  return { name, target: `<= ${limit} ${unit}`, measured: rounded(measured), unit, met: measured <= limit }
}

function rounded(value: number): number {
  return Number(value.toPrecision(3))
}
