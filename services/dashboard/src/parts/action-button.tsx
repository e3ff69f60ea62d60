import { useState } from 'preact/hooks'
import type { ApiError } from '../api.ts'
import { asApiError } from '../live.ts'
import { Trouble } from './trouble.tsx'

/** A button that does something at the server: once at a time, with what went wrong beneath it. */
export function ActionButton({ label, act, quiet = false }: { label: string; act: () => Promise<void>; quiet?: boolean }) {
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<ApiError>()
  const press = async (): Promise<void> => {
    setBusy(true)
    setError(undefined)
    try {
      await act()
    } catch (cause) {
      setError(asApiError(cause))
    }
    setBusy(false)
  }
  return (
    <div class="action">
      <button type="button" class={quiet ? 'quiet-button' : ''} disabled={busy} onClick={() => void press()}>
        {label}
      </button>
      {error === undefined ? null : <Trouble code={error.code} message={error.message} help={error.help} />}
    </div>
  )
}
