/**
 * The file of a worker thread that lies beside the calling module: `workerFile(import.meta.url, './lane.js')`.
 * Under vitest a module runs from `src/*.ts`, which a worker thread can't load, so the built file in `dist` is taken.
 */
export function workerFile(callerUrl: string, relative: string): URL {
  const url = new URL(relative, callerUrl)
  return callerUrl.endsWith('.ts') ? new URL(url.href.replace('/src/', '/dist/')) : url
}
