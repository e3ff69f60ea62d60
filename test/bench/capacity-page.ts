export function capacityPage(): string {
  return ''
}
