/** What went wrong and what to do, wherever it is shown. */
export function Trouble({ code, message, help }: { code: string; message: string; help?: string | null | undefined }) {
  return (
    <div class="trouble" role="alert">
      <p>
        <code>{code}</code> {message}
      </p>
      {help ? <p class="todo">{help}</p> : null}
    </div>
  )
}
