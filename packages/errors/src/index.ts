export { type ErrorFacts, type ErrorReport, type ErrorTable, errorReport, VarveError } from './varve-error.ts'
