import { measured, nodeScript } from '../measure.ts'
import type { Subject } from '../subject.ts'

/** The limit of the store: as many bytes as the disk holds, and nothing done with them. */
export const bareS3: Subject = {
  name: 'bare',
  about: 'PUT and GET of as many bytes, and nothing else',

  async open(parts) {
    const options = { env: parts.s3Env, servers: [parts.minio.pid] }
    return async () => {
      for (const what of ['put', 'get']) {
        const command = nodeScript('bare-s3', what, 's3://bare/x', String(parts.disk.allocated))
        await parts.sample(`bare S3 ${what}`, () => measured(command, options))
      }
    }
  },

  targets: () => [],
}
