import { useEffect, useState } from 'preact/hooks'
import { LiveContext, useLiveSource } from './live.ts'
import { type Route, useRoute } from './route.ts'
import { forgetToken, keepToken, readToken, takeTokenFromAddress } from './session.ts'
import { FleetView } from './views/fleet.tsx'
import { LoginView } from './views/login.tsx'
import { RunView } from './views/run.tsx'
import { VmView } from './views/vm.tsx'

export function App() {
  const [token, setToken] = useState(readToken())
  const [refused, setRefused] = useState(false)
  // An address with a token opened while the page is already there changes only the fragment.
  useEffect(() => {
    const changed = (): void => {
      takeTokenFromAddress()
      setToken(readToken())
    }
    addEventListener('hashchange', changed)
    return () => removeEventListener('hashchange', changed)
  }, [])

  if (token === null) {
    const enter = (given: string): void => {
      keepToken(given)
      setRefused(false)
      setToken(given)
    }
    return <LoginView refused={refused} onToken={enter} />
  }
  const leave = (becauseRefused: boolean): void => {
    forgetToken()
    setRefused(becauseRefused)
    setToken(null)
  }
  return <Inside key={token} onRefused={() => leave(true)} onLeave={() => leave(false)} />
}

function Inside({ onRefused, onLeave }: { onRefused: () => void; onLeave: () => void }) {
  const live = useLiveSource(onRefused)
  const route = useRoute()
  return (
    <LiveContext.Provider value={live}>
      <header class="top">
        <a class="brand" href="#/">
          <img src={new URL('./icon.svg', import.meta.url).href} alt="" width="28" height="28" /> Varve
        </a>
        <nav aria-label="Main">
          <a href="#/" aria-current={route.view === 'fleet' ? 'page' : undefined}>
            Fleet
          </a>
          <a href="./docs/">API</a>
          <button type="button" class="plain" onClick={onLeave}>
            Sign out
          </button>
        </nav>
      </header>
      {live.connected ? null : (
        <p class="banner" role="status">
          Cut off from Varve; trying again. What you see may be old.
        </p>
      )}
      <main id="main">
        <View route={route} />
      </main>
    </LiveContext.Provider>
  )
}

function View({ route }: { route: Route }) {
  if (route.view === 'vm') return <VmView key={route.id} id={route.id} />
  if (route.view === 'run') return <RunView key={route.id} id={route.id} />
  return <FleetView />
}
