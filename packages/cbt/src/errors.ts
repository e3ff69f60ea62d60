import { type ErrorTable, VarveError } from '@varve/errors'

export const CBT_ERRORS = {
  CHECKPOINT_INVALID: {
    retryable: false,
    status: 400,
    help: 'A checkpoint id is not a decimal number of at most 64 bits. Pass the id exactly as the snapshot reported it.',
  },
  CBT_FILE_DAMAGED: {
    retryable: false,
    help: 'A CBT file is cut, has a wrong checksum or contradicts itself. Its answers are not used; reset CBT and take a full backup.',
  },
  CBT_FILE_UNSUPPORTED: {
    retryable: false,
    help: 'A CBT or bitmap file was written by a newer version of the program. Use that version, or reset CBT.',
  },
  MAP_FILE_DAMAGED: {
    retryable: false,
    help: 'A bitmap or grain map file is cut or contradicts itself. A damaged bitmap expires CBT; a damaged grain map needs the disk restored.',
  },
} as const satisfies ErrorTable

/** What this package throws: input that is wrong, or stored bytes that are damaged. */
export class CbtError extends VarveError<keyof typeof CBT_ERRORS> {
  override readonly name = 'CbtError'
  protected override readonly table = CBT_ERRORS
}
