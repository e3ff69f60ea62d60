/** Thrown by what can't be measured here; said with its reason, and no failure. */
export class Skip extends Error {
  override readonly name = 'Skip'
  readonly code = 'SKIPPED'
}
