import { expect, test } from 'vitest'
import { choose } from './lookup.ts'

const THINGS = [
  { id: 'aaaa1111-0000', name: 'one' },
  { id: 'aaaa2222-0000', name: 'two' },
  { id: 'bbbb3333-0000', name: 'two' },
  { id: 'cccc4444-0000', name: 'aaaa1' },
]
const named = ({ name }: { name: string }) => name

test.each([
  ['aaaa1111-0000', 'aaaa1111-0000'],
  ['one', 'aaaa1111-0000'],
  ['AAAA2', 'aaaa2222-0000'],
  ['bbbb', 'bbbb3333-0000'],
  // A name is meant as a name, even where it is also the beginning of an id.
  ['aaaa1', 'cccc4444-0000'],
])('%s means %s', (text, id) => {
  expect(choose('thing', text, THINGS, named).id).toBe(id)
})

test.each([
  ['two', /two fits 2 things: aaaa2222 \(two\), bbbb3333 \(two\)/],
  ['aaaa', /aaaa fits 2 things/],
  ['aaa', /there is no thing aaa/],
  ['', /there is no thing/],
])('%j means nothing certain', (text, message) => {
  expect(() => choose('thing', text, THINGS, named)).toThrow(message)
})
