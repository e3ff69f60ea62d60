import type { AddressInfo } from 'node:net'
import { type ApiDeps, buildApi } from './build-api.ts'

export interface ApiServiceDeps extends ApiDeps {
  /** Where to listen; port 0 takes a free one. */
  readonly listen: { readonly host: string; readonly port: number }
}

export interface ApiService {
  /** `http://host:port`, as it can be reached from this machine. */
  readonly url: string
  close(): Promise<void>
}

/** Start serving. @throws EADDRINUSE and other errors of listening as they are */
export async function startApiService({ listen, ...deps }: ApiServiceDeps): Promise<ApiService> {
  const app = await buildApi(deps)
  try {
    await app.listen(listen)
  } catch (error) {
    await app.close()
    throw error
  }
  const { port } = app.server.address() as AddressInfo
  const host = listen.host === '0.0.0.0' || listen.host === '::' ? '127.0.0.1' : listen.host
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  deps.log.info({ url }, 'api listens')
  return { url, close: () => app.close() }
}
