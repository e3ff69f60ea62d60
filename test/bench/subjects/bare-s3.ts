import { bareS3Run } from '../bare-s3-run.ts'
import type { Subject } from '../subject.ts'

/** The limit of the store: as many bytes as the disk holds, and nothing done with them. */
export const bareS3: Subject = {
  name: 'bare',
  about: 'PUT and GET of as many bytes, and nothing else',

  async open(parts) {
    return async () => {
      for (const what of ['put', 'get'] as const)
        await parts.sample(`bare S3 ${what}`, () => bareS3Run(parts, what, 's3://bare/x', parts.disk.allocated))
    }
  },

  targets: () => [],
}
