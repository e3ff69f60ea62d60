import { useEffect, useState } from 'preact/hooks'

export type Route = { readonly view: 'fleet' } | { readonly view: 'vm' | 'run'; readonly id: string }

/** The view that the fragment of the address names; anything unknown is the fleet. */
export function parseRoute(hash: string): Route {
  const match = /^#\/(vms|runs)\/([0-9a-f-]{36})$/.exec(hash)
  if (match === null) return { view: 'fleet' }
  return { view: match[1] === 'vms' ? 'vm' : 'run', id: match[2] as string }
}

export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash)
  useEffect(() => {
    const changed = (): void => setHash(location.hash)
    addEventListener('hashchange', changed)
    return () => removeEventListener('hashchange', changed)
  }, [])
  return parseRoute(hash)
}

export const vmLink = (id: string): string => `#/vms/${id}`
export const runLink = (id: string): string => `#/runs/${id}`
