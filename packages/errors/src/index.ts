export { type ErrorFacts, type ErrorReport, type ErrorTable, errorReport, hasCode, VarveError } from './varve-error.ts'
