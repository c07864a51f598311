import { afterEach, describe, expect, test } from 'vitest';
import { callSite } from '../../src/loop-guard/call-site.ts';

/** Represents a public function of ours. */
const campaign = (): readonly string[] => callSite(campaign);

function theCaller(): readonly string[] {
  return campaign();
}

test('G6: the caller comes first with name, file and line; our own function is left out', () => {
  const [first] = theCaller();
  expect(first).toMatch(/^theCaller \(.*call-site\.test\.ts:\d+:\d+\)$/);
});

test('G6: other functions of ours above our own are left out too', () => {
  const guard = (): readonly string[] => callSite(publicFunction);
  const publicFunction = (): readonly string[] => guard();
  const caller = (): readonly string[] => publicFunction();
  expect(caller()[0]).toMatch(/^caller /);
});

test('G6: the caller is known after an await', async () => {
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

test('G6: the caller of next() counts as the caller of an iteration', async () => {
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

test('without our own function in the stack there is no caller', () => {
  expect(callSite(theCaller)).toEqual([]);
});

test("the program's own stack depth stays unchanged", () => {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 3;
  try {
    expect(theCaller().length).toBeGreaterThan(0);
    expect(Error.stackTraceLimit).toBe(3);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
});

test('the call site is short', () => {
  const deep = (depth: number): readonly string[] => (depth === 0 ? campaign() : deep(depth - 1));
  expect(deep(100).length).toBeLessThanOrEqual(6);
});

describe('a program that has changed Error gets no call site, and no error', () => {
  const here = (): readonly string[] => callSite(here);
  const before = Object.getOwnPropertyDescriptors(Error);
  afterEach(() => {
    Reflect.deleteProperty(Error, 'prepareStackTrace');
    Object.defineProperties(Error, before);
  });

  test('its prepareStackTrace returns the frames', () => {
    Error.prepareStackTrace = (_error, frames) => frames;
    expect(here()).toEqual([]);
  });

  test('its prepareStackTrace throws', () => {
    let asked = 0;
    Error.prepareStackTrace = () => {
      if (asked++ === 0) throw new RangeError('no frames');
    };
    expect(here()).toEqual([]);
  });

  test('it has frozen Error', () => {
    Object.defineProperty(Error, 'stackTraceLimit', { ...before.stackTraceLimit, writable: false });
    expect(here()).toEqual([]);
  });
});
