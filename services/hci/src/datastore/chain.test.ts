import { expect, test } from 'vitest'
import { Chain } from './chain.ts'

test('a layer may be closed only when requests on every earlier chain that had it are done', async () => {
  const first = new Chain([])
  first.retain()
  const second = new Chain([], first)
  second.retain()
  const third = new Chain([], second)
  let idle = false
  const waited = second.idle().then(() => {
    idle = true
  })
  second.release()
  await new Promise(resolve => setImmediate(resolve))
  expect(idle).toBe(false)
  expect(third.isIdle).toBe(false)
  first.release()
  await waited
  expect(third.isIdle).toBe(true)
  // Nothing to wait for: nothing is remembered.
  await new Chain([], third).idle()
})
