import { expect, test } from 'vitest';
import type { Callbacks } from '../../src/campaign/callbacks.ts';
import { EarlierCallbacks } from '../../src/campaign/earlier-callbacks.ts';

const never = new Promise<void>(() => undefined);
const after = (workAfterTermMs: number, before?: EarlierCallbacks): EarlierCallbacks =>
  new EarlierCallbacks({ workAfterTermMs, followingMs: 0 } as Callbacks, never, before);

test('work that never settles stays visible after tens of thousands of later campaigns', () => {
  let last = after(7_000);
  for (let campaign = 0; campaign < 50_000; campaign++) last = after(0, last);
  expect(last.workAfterTermMs).toBe(7_000);
  expect(last.followingMs).toBe(0);
});
