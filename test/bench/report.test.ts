import { expect, test } from 'vitest'
import { targetChart } from './chart.ts'
import { writtenBy } from './fio.ts'
import { betweenMarkers } from './report.ts'
import { atLeast, atMost } from './targets.ts'

test('only what is between its markers is replaced', () => {
  const page = '# Page\n<!-- bench: by hand -->\nold\n<!-- end of bench -->\nrest <!-- other: x --> <!-- end of other -->\n'
  const once = betweenMarkers(page, 'bench', 'new')
  expect(once).toBe('# Page\n<!-- bench: by hand -->\n\nnew\n\n<!-- end of bench -->\nrest <!-- other: x --> <!-- end of other -->\n')
  expect(betweenMarkers(once, 'bench', 'new')).toBe(once)
  expect(() => betweenMarkers(page, 'scale', 'new')).toThrow('no markers for scale')
})

test('the picture has a bar for each target and no text that is markup', () => {
  const svg = targetChart([atLeast('a < b & c', 3, 2, 'x'), atMost('d', 4, 2, 's')])
  expect(svg.match(/<rect x=/g)).toHaveLength(2)
  expect(svg).toContain('a &lt; b &amp; c')
  expect(svg).toContain('&gt;= 2 x')
})

test("fio's figures are read, with whatever it says before them", () => {
  const answer = JSON.stringify({ jobs: [{ write: { bw: 2048, iops: 512.5 } }] })
  expect(writtenBy(`note: something\n${answer}`)).toEqual({ mibs: 2, iops: 512.5 })
})
