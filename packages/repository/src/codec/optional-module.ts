import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

/** An optional native module, loaded at the first call; undefined where it is not installed or was not compiled. */
export function optionalModule<T>(name: string): () => T | undefined {
  let loaded: { readonly module: T | undefined } | undefined
  return () => {
    loaded ??= { module: load<T>(name) }
    return loaded.module
  }
}

function load<T>(name: string): T | undefined {
  try {
    return require(name) as T
  } catch {
    return undefined
  }
}
