import { useState } from 'preact/hooks'
import { useTitle } from '../parts/heading.tsx'

export function LoginView({ refused, onToken }: { refused: boolean; onToken: (token: string) => void }) {
  const [text, setText] = useState('')
  useTitle('Sign in')
  return (
    <main class="login">
      <h1>Varve</h1>
      <form
        onSubmit={event => {
          event.preventDefault()
          if (text.trim() !== '') onToken(text.trim())
        }}
      >
        <label for="token">Token of this Varve</label>
        <input
          id="token"
          type="password"
          autocomplete="off"
          value={text}
          onInput={event => setText(event.currentTarget.value)}
          aria-describedby="token-help"
          aria-invalid={refused}
        />
        {refused ? (
          <p class="bad" role="alert">
            That token was refused.
          </p>
        ) : null}
        <p id="token-help" class="quiet">
          <code>VARVE_API_TOKEN</code> of the api. On one machine <code>varve standalone</code> prints an address that signs in by itself.
        </p>
        <button type="submit">Sign in</button>
      </form>
    </main>
  )
}
