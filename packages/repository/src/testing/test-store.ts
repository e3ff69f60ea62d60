import type { Store } from '../store.ts'

export function testStore(_name: string, _make: () => Promise<Store>): void {}
