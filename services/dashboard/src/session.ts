/*
 * The token lives in sessionStorage: for this tab, gone with it, never sent by the browser by itself. It may come in the
 * fragment of the address (`#token=…`), which no server sees, and is taken out of the address at once.
 */

const KEY = 'varve-token'

/** Take the token from the address, if there is one. A route may follow: `#token=…&go=/runs/ID`. */
export function takeTokenFromAddress(): void {
  const fragment = location.hash.slice(1)
  if (!fragment.startsWith('token=')) return
  const given = new URLSearchParams(fragment)
  const token = given.get('token') ?? ''
  if (token !== '') sessionStorage.setItem(KEY, token)
  const go = given.get('go') ?? '/'
  history.replaceState(null, '', `#${go.startsWith('/') ? go : '/'}`)
}

export function readToken(): string | null {
  return sessionStorage.getItem(KEY)
}

export function keepToken(token: string): void {
  sessionStorage.setItem(KEY, token)
}

export function forgetToken(): void {
  sessionStorage.removeItem(KEY)
}
