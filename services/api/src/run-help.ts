/**
 * What to do about a run that failed, by its error code: the codes that a user meets most. Whoever starts the api adds the help of the error
 * tables of the services it runs (`errorHelp`).
 */
export const RUN_HELP: Readonly<Record<string, string>> = {
  PLATFORM_UNREACHABLE: 'Check that the platform runs and that Varve reaches its address, then start the run again.',
  PLATFORM_AUTH_FAILED: 'The platform refuses the stored credentials. Remove the platform and add it again with valid ones.',
  PLATFORM_THROTTLED: 'The platform asks for fewer requests. Start the run again later, or run fewer at a time.',
  PLATFORM_REFUSED: 'The platform refused a request; its message says why.',
  VM_NOT_FOUND: 'The VM is no longer on its platform. Its restore points remain and can be restored to a new VM.',
  VM_BUSY: 'The platform works on this VM just now. Start the run again when its task has ended.',
  VM_NOT_OFF: 'Shut the VM down first: a restore writes over its disks.',
  VM_EXCLUDED: 'This VM can not be backed up; its list of exclusions says why.',
  SNAPSHOT_NOT_FOUND: 'Somebody deleted the snapshot while it was read. Start the run again.',
  TASK_FAILED: 'A task of the platform failed; its message says why. The platform keeps a log of its tasks.',
  TASK_TIMEOUT: 'A task of the platform did not end in time. Look at it on the platform, then start the run again.',
  LEASE_OCCUPIED: 'Another backup or restore holds this VM. Wait until it ends, or release it on the platform.',
  LEASE_LOST: 'The platform withdrew the access to the disks. Start the run again; what was stored already is not lost to other points.',
  CBT_EXPIRED: 'Tracking of changes was lost. The next backup is a full one by itself.',
  CBT_ANSWER_INVALID:
    'The platform gave an answer about changed areas that can not be true. Start the run again; reset tracking if it stays.',
  ENOSPC: 'The repository is full. Make room, then start the run again.',
  CANCELLED: 'Somebody cancelled it. Nothing half-made is kept.',
}
