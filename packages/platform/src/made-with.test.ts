import { expect, test } from 'vitest'
import { carriesToken, describeAsMade, madeWith } from './made-with.ts'

test('a VM is known by the token it was made with, and by no other', () => {
  for (const before of [undefined, '', 'the accounts database', 'a copy (varve older-token)']) {
    const description = describeAsMade(before, 'token-1')
    expect(carriesToken({ description }, 'token-1')).toBe(true)
    expect(carriesToken({ description }, 'older-token')).toBe(false)
    expect(carriesToken({ description }, 'oken-1')).toBe(false)
  }
  expect(carriesToken({}, 'token-1')).toBe(false)
})

test("the user's words stay, the token of an older creation goes", () => {
  expect(describeAsMade('mail', 'a')).toBe('mail (varve a)')
  expect(describeAsMade('mail (varve a)', 'b')).toBe('mail (varve b)')
  expect(describeAsMade('x'.repeat(250), 'a')).toBe('x'.repeat(250))
})

test('the token can be read back; a description without one has none', () => {
  expect(madeWith({ description: describeAsMade('web server', 'run-1') })).toBe('run-1')
  for (const description of ['', 'web server', '(varve run-1) since', '(varve )']) expect(madeWith({ description })).toBeNull()
  expect(madeWith({})).toBeNull()
})
