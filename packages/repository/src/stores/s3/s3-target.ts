import { RepositoryError } from '../../errors.ts'
import { isKey } from '../../keys.ts'
import { REQUEST_TIMEOUT_MS, type StoreSettings } from '../../open-store.ts'
import { type Credentials, encodePath } from './sigv4.ts'

/** Where an S3 store is and how it is talked to: URL and settings with the defaults filled in. */
export interface S3Target {
  readonly bucket: string
  /** Put before every key; empty, or ends with `/`. */
  readonly prefix: string
  /** `https://host:port` of the service, without the bucket. */
  readonly endpoint: URL
  readonly pathStyle: boolean
  readonly region: string
  readonly credentials: Credentials
  readonly createBucket: boolean
  readonly requestTimeout: number
  readonly connections: number
  readonly attempts: number
  readonly backoff: number
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/

/** @throws RepositoryError STORE_URL_INVALID */
export function s3Target(url: URL, settings: StoreSettings): S3Target {
  const { accessKey, secretKey } = settings
  const region = settings.region ?? 'us-east-1'
  const bucket = url.host
  if (!BUCKET.test(bucket)) throw invalid(`'${bucket}' is not a bucket name`)
  if (!accessKey || !secretKey) throw invalid('an access key and a secret key are needed')
  const endpointText = settings.endpoint ?? `https://s3.${region}.amazonaws.com`
  const endpoint = URL.canParse(endpointText) ? new URL(endpointText) : undefined
  if (endpoint === undefined || !/^https?:$/.test(endpoint.protocol) || endpoint.pathname !== '/') {
    throw invalid('the endpoint must be http(s)://host:port without a path')
  }
  const prefix = url.pathname.replace(/^\/+|\/+$/g, '')
  if (prefix !== '' && !isKey(prefix)) throw invalid('the prefix may have letters, digits, dots, hyphens and underscores')
  return {
    bucket,
    prefix: prefix === '' ? '' : `${prefix}/`,
    endpoint,
    pathStyle: settings.pathStyle ?? settings.endpoint !== undefined,
    region,
    credentials: { accessKey, secretKey },
    createBucket: settings.createBucket ?? false,
    requestTimeout: settings.requestTimeout ?? REQUEST_TIMEOUT_MS,
    connections: settings.connections ?? 32,
    attempts: settings.attempts ?? 5,
    backoff: settings.backoff ?? 200,
  }
}

/** Scheme, host and port that requests for objects go to. */
export function objectOrigin({ endpoint, pathStyle, bucket }: S3Target): URL {
  return pathStyle ? endpoint : new URL(`${endpoint.protocol}//${bucket}.${endpoint.host}`)
}

/** Encoded path of an object. */
export function objectPath({ pathStyle, bucket, prefix }: S3Target, key: string): string {
  return encodePath(pathStyle ? `/${bucket}/${prefix}${key}` : `/${prefix}${key}`)
}

/** Encoded path of the bucket. */
export function bucketPath({ pathStyle, bucket }: S3Target): string {
  return encodePath(pathStyle ? `/${bucket}/` : '/')
}

function invalid(why: string): RepositoryError {
  return new RepositoryError('STORE_URL_INVALID', `the S3 store cannot be used: ${why}`)
}
