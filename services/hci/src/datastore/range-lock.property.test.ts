import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Hold, RangeLock } from './range-lock.ts'

test('no two holds that clash at the same time, first come first served where they overlap, and nobody is forgotten', async () => {
  const request = fc.record({ first: fc.nat(6), length: fc.nat(3), exclusive: fc.boolean() })
  await fc.assert(
    fc.asyncProperty(
      fc.array(request, { minLength: 1, maxLength: 12 }),
      fc.array(fc.nat(20), { maxLength: 30 }),
      async (requests, picks) => {
        const lock = new RangeLock()
        const held = new Map<number, Hold>()
        const range = (i: number) => ({ from: requests[i]!.first, to: requests[i]!.first + requests[i]!.length })
        const clash = (i: number, j: number): boolean =>
          range(i).from <= range(j).to && range(j).from <= range(i).to && (requests[i]!.exclusive || requests[j]!.exclusive)
        const waiting = new Set<number>()
        requests.forEach((r, i) => {
          const got = lock.acquire(r.first, r.first + r.length, r.exclusive)
          if (!(got instanceof Promise)) {
            held.set(i, got)
            return
          }
          waiting.add(i)
          void got.then(hold => {
            waiting.delete(i)
            held.set(i, hold)
          })
        })
        let done = 0
        for (let turn = 0; done < requests.length; turn++) {
          const now = [...held.keys()]
          expect(now.length).toBeGreaterThan(0)
          for (const i of now) for (const j of now) expect(i !== j && clash(i, j)).toBe(false)
          for (const i of waiting) expect([...held.keys(), ...waiting].some(j => j < i && clash(i, j))).toBe(true)
          const release = now[(picks[turn] ?? 0) % now.length]!
          lock.release(held.get(release)!)
          held.delete(release)
          done += 1
          await Promise.resolve()
          await Promise.resolve()
        }
      },
    ),
  )
})
