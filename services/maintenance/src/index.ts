export { type MaintenanceDeps, startMaintenance } from './start-maintenance.ts'
