import { afterEach, expect, test } from 'vitest';
import { CallbackFrames } from '../../src/util/callback-frames.ts';

const settings = Error as { prepareStackTrace?: unknown };
const { prepareStackTrace: before } = settings;
afterEach(() => void (settings.prepareStackTrace = before));

test("the search for callbacks that wait leaves the program's prepareStackTrace as it was", async () => {
  const mapped = (): string => 'mapped by a tool';
  settings.prepareStackTrace = mapped;
  const frames = new CallbackFrames('candidate', 'e');
  await frames.run(frames.newName(), async () => {
    await Promise.resolve();
    CallbackFrames.awaiting();
  });
  expect(settings.prepareStackTrace).toBe(mapped);
});

test('a callback is found that awaits the caller', async () => {
  const frames = new CallbackFrames('candidate', 'e');
  const name = frames.newName();
  const call = async (): Promise<readonly string[]> => {
    await Promise.resolve();
    return CallbackFrames.awaiting().map(({ frame }) => frame);
  };
  let found: readonly string[] = [];
  await frames.run(name, async () => void (found = await call()));
  expect(found).toEqual([name]);
});
