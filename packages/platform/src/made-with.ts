import type { PlatformVm } from './driver.ts'

/** A description this long is left alone: how much the platform takes is not public. */
const LONGEST_DESCRIPTION = 250
const MARK = /\s*\(varve ([\w.:-]{1,100})\)$/

/** The description of a VM that is made with `clientToken`: the token stands at its end, in place of an older one. */
export function describeAsMade(description: unknown, clientToken: string): string {
  const text = typeof description === 'string' ? description.replace(MARK, '') : ''
  const marked = `${text} (varve ${clientToken})`.trimStart()
  return marked.length > LONGEST_DESCRIPTION ? text : marked
}

/** Was this VM made by `createVm` under `clientToken`? Holds when the platform has forgotten the token, too. */
export function carriesToken(vm: Pick<PlatformVm, 'description'>, clientToken: string): boolean {
  return vm.description?.endsWith(`(varve ${clientToken})`) ?? false
}

/** The token under which this VM was made, null when it carries none. */
export function madeWith(vm: Pick<PlatformVm, 'description'>): string | null {
  return MARK.exec(vm.description ?? '')?.[1] ?? null
}
