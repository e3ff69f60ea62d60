export { freePort } from '@varve/runtime'
