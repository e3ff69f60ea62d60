import { GiB } from '@varve/runtime'
import { expect, test } from 'vitest'
import { readSettings, type Settings } from './settings.ts'
import { GROUPS, selected } from './subjects/all.ts'

const settings = (...args: string[]): Settings => readSettings(args) as Settings

test('a whole run has five rounds of 4 GiB and is written into the page; a part of one, or a quick one, is not', () => {
  expect(settings()).toMatchObject({ rounds: 5, diskSize: 4 * GiB, write: true })
  expect(settings('--quick')).toMatchObject({ rounds: 2, diskSize: GiB, write: false })
  expect(settings('--only', 'nbd').write).toBe(false)
  expect(settings('--only', 'nbd', '--write').write).toBe(true)
  expect(settings('--no-write').write).toBe(false)
  expect(settings('--rounds', '2').write).toBe(false)
  expect(settings('--rounds', '0').rounds).toBe(1)
})

test('a whole run compares with all peers, a quick one with those that start at once', () => {
  expect([...settings().peers]).toEqual(['restic', 'borg', 'benji', 'kopia'])
  expect([...settings('--quick').peers]).toEqual(['restic', 'borg'])
  expect([...settings('--peers', 'borg').peers]).toEqual(['borg'])
})

test('what makes no sense is refused', () => {
  expect(() => settings('--rounds', 'many')).toThrow(TypeError)
  expect(() => settings('--fast')).toThrow(TypeError)
  expect(() => selected(new Set(['nothing']))).toThrow('there is no subject nothing')
})

test('subjects are picked by name, with those they build on, in their groups', () => {
  expect(selected(undefined)).toEqual(GROUPS)
  expect(selected(new Set(['micro', 'restore'])).map(group => group.map(({ name }) => name))).toEqual([['full', 'restore'], ['micro']])
  const names = GROUPS.flat().map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
})
