const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

export function bytes(value: number): string {
  let unit = 0
  let rest = value
  while (rest >= 1024 && unit < UNITS.length - 1) {
    rest /= 1024
    unit += 1
  }
  return unit === 0 ? `${rest} B` : `${rest.toFixed(rest < 10 ? 2 : rest < 100 ? 1 : 0)} ${UNITS[unit]}`
}

export function seconds(value: number): string {
  if (value < 1) return 'under 1 s'
  if (value < 60) return `${Math.round(value)} s`
  if (value < 3600) return `${Math.floor(value / 60)} min ${String(Math.round(value % 60) % 60).padStart(2, '0')} s`
  return `${Math.floor(value / 3600)} h ${String(Math.floor((value % 3600) / 60)).padStart(2, '0')} min`
}

export function age(time: string, now: number): string {
  const past = Math.max(0, (now - Date.parse(time)) / 1000)
  if (past < 60) return 'just now'
  if (past < 3600) return `${Math.floor(past / 60)} min ago`
  if (past < 172_800) return `${Math.floor(past / 3600)} h ago`
  return `${Math.floor(past / 86_400)} days ago`
}

const CLOCK = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })

export function clock(time: string): string {
  return CLOCK.format(new Date(time))
}

export function percent(fraction: number): string {
  return `${Math.floor(fraction * 100)} %`
}

export function shortId(id: string): string {
  return id.slice(0, 8)
}
