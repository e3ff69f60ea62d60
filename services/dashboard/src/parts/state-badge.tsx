const TONES: Readonly<Record<string, string>> = {
  succeeded: 'good',
  'succeeded-with-damage': 'warn',
  failed: 'bad',
  cancelled: 'off',
}

/** A run's state in a word; colour only repeats what the word says. */
export function StateBadge({ state }: { state: string }) {
  return <span class={`badge ${TONES[state] ?? 'busy'}`}>{state}</span>
}
