export { MemoryCatalog } from './memory-catalog.ts'
export { openScriptedPlatform, SCRIPTED_VMS } from './scripted-platform.ts'
export { simulateRuns } from './simulated-runs.ts'
export { SCRIPTED_TOKEN, type ScriptedApi, startScriptedApi } from './start-scripted-api.ts'
