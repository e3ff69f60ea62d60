import { findTool, runTool } from '../support/tools.ts'
import { Skip } from './skip.ts'

/** @throws Skip */
export function requireTaskset(): void {
  if (findTool('taskset') === undefined) throw new Skip('taskset (util-linux) is not installed')
}

/** Hold all threads of these processes, and those they start from now on, to some cores (`0`, `0,1`). */
export async function holdTo(cores: string, pids: readonly number[]): Promise<void> {
  for (const pid of pids) await runTool('taskset', ['-a', '-c', '-p', cores, String(pid)])
}
