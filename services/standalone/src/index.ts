export { runDemo } from './demo/run-demo.ts'
export { STANDALONE_ERRORS, StandaloneError } from './errors.ts'
export { runStandalone } from './run-standalone.ts'
export { type Standalone, type StandaloneOptions, startStandalone } from './standalone.ts'
