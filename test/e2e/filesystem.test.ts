import { test } from 'vitest'
import { filesystemStory } from '../support/filesystem-story.ts'
import { startSystem } from '../support/system.ts'
import { missingTool } from '../support/tools.ts'

test('a real file system is backed up while it is rewritten, and every point comes back (embedded parts)', async ctx => {
  const missing = missingTool('mke2fs', 'e2fsck', 'nbdcopy', 'fio', 'cmp')
  if (missing !== undefined) return ctx.skip(missing)
  const system = await startSystem({ standalone: { withoutBlockReader: true } })
  try {
    await filesystemStory(system)
  } finally {
    await system.close()
  }
}, 180_000)
