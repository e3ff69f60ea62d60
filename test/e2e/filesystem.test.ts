import { test } from 'vitest'
import { filesystemStory } from '../support/filesystem-story.ts'
import { missingTool } from '../support/tools.ts'

test('a real file system is backed up while it is rewritten, and every point comes back (embedded parts)', async ctx => {
  const missing = missingTool('mke2fs', 'e2fsck', 'nbdcopy', 'fio', 'cmp')
  if (missing !== undefined) return ctx.skip(missing)
  await filesystemStory()
}, 180_000)
