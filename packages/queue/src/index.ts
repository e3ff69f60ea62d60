export { JOB_NAMES, type Job, type JobHandler, type JobName, type JobPayloads, type QueueDoor, type QueueWorker } from './queue.ts'
