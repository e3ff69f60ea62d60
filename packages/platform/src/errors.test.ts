import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { PLATFORM_ERRORS } from './errors.ts'

test("the driver's contract names exactly the codes of the table", async () => {
  const source = await readFile(new URL('./driver.ts', import.meta.url), 'utf8')
  const contract = source.slice(0, source.indexOf('export interface PlatformDriver'))
  const named = new Set(contract.match(/\b[A-Z]+(_[A-Z]+)+\b/g))
  expect([...named].sort()).toEqual(Object.keys(PLATFORM_ERRORS).sort())
})
