const TONES: Readonly<Record<string, string>> = {
  succeeded: 'good',
  'succeeded-with-damage': 'warn',
  failed: 'bad',
  cancelled: 'off',
}

/** A run's state in a word; colour only repeats what the word says. */
export function StateBadge({ state, paused = false }: { state: string; paused?: boolean }) {
  if (paused) return <span class="badge off">{state} (paused)</span>
  return <span class={`badge ${TONES[state] ?? 'busy'}`}>{state}</span>
}
