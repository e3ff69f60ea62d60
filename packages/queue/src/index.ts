export { QUEUE_ERRORS, QueueError, type QueueErrorCode } from './errors.ts'
export { openQueue, type QueueOptions } from './open-queue.ts'
export {
  type AddOptions,
  JOB_NAMES,
  type Job,
  type JobHandler,
  type JobName,
  type JobPayloads,
  type JobPriority,
  type QueueDoor,
  type QueueWorker,
} from './queue.ts'
