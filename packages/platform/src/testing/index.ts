export { type PlatformFixture, testPlatformDriver } from './conformance.ts'
