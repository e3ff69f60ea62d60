import { expect, test } from 'vitest'
import { Closer } from './index.ts'

test('closes in the reverse order of opening, each once', async () => {
  const closed: string[] = []
  const closer = new Closer()
  for (const name of ['database', 'queue', 'server']) closer.add(name, () => void closed.push(name))
  await Promise.all([closer.close(), closer.close()])
  expect(closed).toEqual(['server', 'queue', 'database'])
})

test('one that fails does not keep the others open, and its name is in the error', async () => {
  const closed: string[] = []
  const closer = new Closer()
  closer.add('database', () => void closed.push('database'))
  closer.add('queue', async () => {
    throw new Error('gone')
  })
  closer.add('server', () => void closed.push('server'))
  const error = await closer.close().catch(thrown => thrown as AggregateError)
  expect(closed).toEqual(['server', 'database'])
  expect((error as AggregateError).errors[0]).toMatchObject({ message: 'closing queue failed', cause: { message: 'gone' } })
})

test('what is opened after closing began is closed at once', async () => {
  const closed: string[] = []
  const closer = new Closer()
  await closer.close()
  closer.add('late', () => void closed.push('late'))
  expect(closed).toEqual(['late'])
})
