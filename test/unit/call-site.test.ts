import { expect, test } from 'vitest';
import { callSite } from '../../src/loop-guard/call-site.ts';

/** Stands for a public function of ours. */
const campaign = (): readonly string[] => callSite(campaign);

function theCaller(): readonly string[] {
  return campaign();
}

test('G6: the caller comes first, by name, file and line; our own function is left out', () => {
  const [first] = theCaller();
  expect(first).toMatch(/^theCaller \(.*call-site\.test\.ts:\d+:\d+\)$/);
});

test('G6: functions of ours between the caller and the question are left out too', () => {
  const guard = (): readonly string[] => callSite(publicFunction);
  const publicFunction = (): readonly string[] => guard();
  const caller = (): readonly string[] => publicFunction();
  expect(caller()[0]).toMatch(/^caller /);
});

test('G6: after an await the caller is still known', async () => {
  async function theLoop(): Promise<readonly string[]> {
    await Promise.resolve();
    return await theBody();
  }
  async function theBody(): Promise<readonly string[]> {
    await Promise.resolve();
    return campaign();
  }
  const stack = await theLoop();
  expect(stack[0]).toMatch(/^theBody /);
  expect(stack[1]).toMatch(/^theLoop /);
});

test('G6: an iteration is asked for by whoever calls next()', async () => {
  async function* iterate(): AsyncGenerator<readonly string[]> {
    yield callSite(iterate);
    await Promise.resolve();
  }
  async function theReader(): Promise<readonly string[] | undefined> {
    for await (const stack of iterate()) return stack;
    return undefined;
  }
  expect((await theReader())?.[0]).toMatch(/^theReader /);
});

test('where our own function was not called, nobody called it', () => {
  expect(callSite(theCaller)).toEqual([]);
});

test('the depth of stacks that the program has set stays as it is', () => {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 3;
  try {
    expect(theCaller().length).toBeGreaterThan(0);
    expect(Error.stackTraceLimit).toBe(3);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
});

test('it is short', () => {
  const deep = (depth: number): readonly string[] => (depth === 0 ? campaign() : deep(depth - 1));
  expect(deep(100).length).toBeLessThanOrEqual(6);
});
