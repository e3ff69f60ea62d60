import type { NbdBackend } from './backend.ts'

/** The other end of a connection, for logs and policy. */
export interface NbdPeer {
  /** `address:port`, or `unix:path`. */
  readonly address: string
}

/** What the server serves. */
export interface ExportResolver {
  /**
   * Open the export. Called when its first connection comes; further connections share the backend; its `close` is called when the last one
   * has gone. Throw NBD_EXPORT_UNKNOWN (the client hears NBD_REP_ERR_UNKNOWN) or NBD_REFUSED (NBD_REP_ERR_POLICY, with the message).
   */
  open(name: string, peer: NbdPeer): Promise<NbdBackend>
  /** Names for NBD_OPT_LIST; without it, or where names are secrets, the list is empty. */
  list?(peer: NbdPeer): Promise<readonly string[]>
}
