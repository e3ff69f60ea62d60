import { hash } from 'node:crypto'
import { openStore } from '@varve/repository'
import { noise } from '../support/pattern.ts'

/**
 * The limit of the store: PUT or GET objects of 16 MiB over 4 connections and do nothing else. `bare-s3.js put|get URL BYTES`; settings from VARVE_S3_*.
 * Prints the seconds that took, without what it takes to start, as a service that is running does it.
 */
const [, , what, url = '', bytes] = process.argv
const { VARVE_S3_ENDPOINT: endpoint = '', VARVE_S3_ACCESS_KEY: accessKey = '', VARVE_S3_SECRET_KEY: secretKey = '' } = process.env
const store = await openStore(url, { endpoint, accessKey, secretKey, createBucket: true })
const body = noise('bare', 16 * 1024 * 1024)
const sha256 = hash('sha256', body, 'hex')
const objects = Math.ceil(Number(bytes) / body.length)
const started = performance.now()
let next = 0
const work = async (): Promise<void> => {
  for (let n = next++; n < objects; n = next++) {
    if (what === 'put') await store.put(`bare/${n}`, body, { sha256 })
    else await store.get(`bare/${n}`)
  }
}
await Promise.all([work(), work(), work(), work()])
console.log((performance.now() - started) / 1000)
await store.close()
