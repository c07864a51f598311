import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { reportAtExit } from '../../src/logging/line-queue.ts';
import { StandardOutput } from '../../src/logging/standard-output.ts';

/** A file that takes `room` bytes, and then fails with `code`. */
class Target {
  text = '';
  tries = 0;
  room = Number.POSITIVE_INFINITY;
  code = 'ENOSPC';
  readonly out = new StandardOutput((bytes) => {
    this.tries++;
    if (this.room === 0) throw Object.assign(new Error(this.code), { code: this.code });
    const taken = bytes.subarray(0, this.room);
    this.room -= taken.length;
    this.text += Buffer.from(taken).toString();
    return taken.length;
  });
}

describe('standard output', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
  afterEach(() => void vi.useRealTimers());

  test('a disk that was full gets whole lines when it has room again', () => {
    const target = new Target();
    target.room = 3;
    expect(() => target.out.write('one\u00e9 line\n')).not.toThrow();
    target.out.write('two\n');
    expect(target.text).toBe('one');
    expect(vi.getTimerCount()).toBe(0); // a disk without room is tried again with the next line only
    target.room = Number.POSITIVE_INFINITY;
    target.out.write('three\n');
    expect(target.text).toBe('one\u00e9 line\ntwo\nthree\n');
  });

  test('a full pipe is tried again by a timer, not by every line', () => {
    const target = new Target();
    Object.assign(target, { room: 0, code: 'EAGAIN' });
    for (let n = 0; n < 100; n++) target.out.write(`${n}\n`);
    expect(target.tries).toBe(1);
    vi.advanceTimersByTime(1_000);
    expect(target.tries).toBe(11);
    target.room = Number.POSITIVE_INFINITY;
    vi.advanceTimersByTime(100);
    expect(target.text.split('\n')).toHaveLength(101);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('G5: at most a megabyte is kept', () => {
    const target = new Target();
    target.room = 0;
    for (let n = 0; n < 3_000; n++) target.out.write(`${'x'.repeat(1_023)}\n`);
    target.room = Number.POSITIVE_INFINITY;
    target.out.write('last\n');
    expect(target.text.length).toBe(1_048_576);
  });

  test('many loaded copies of the module add one exit listener', async () => {
    const before = process.listenerCount('exit');
    for (let copy = 0; copy < 12; copy++) {
      vi.resetModules();
      const { StandardOutput: Copy } = await import('../../src/logging/standard-output.ts');
      Copy.open();
    }
    expect(process.listenerCount('exit') - before).toBeLessThanOrEqual(1);
  });

  test('the exit does not wait for a reader that is stuck', () => {
    const target = new Target();
    Object.assign(target, { room: 0, code: 'EAGAIN' });
    target.out.write('one\n');
    target.out.end();
    expect(target.tries).toBe(21);
  });

  test('the exit does not repeat a write that failed for another reason', () => {
    const target = new Target();
    target.room = 0;
    target.out.write('one\n');
    target.out.end();
    expect(target.tries).toBe(1);
  });
});

describe('PM2 in cluster mode', () => {
  /** PM2 replaces `process.stdout.write`, and sets the environment of the process. */
  function underPm2(mode: string, write: (text: string) => unknown, connected = true): Disposable {
    vi.stubEnv('exec_mode', mode);
    const channel = vi.spyOn(process, 'connected', 'get').mockReturnValue(connected);
    Object.defineProperty(process.stdout, 'write', { value: write, configurable: true });
    return {
      [Symbol.dispose]() {
        delete (process.stdout as Partial<typeof process.stdout>).write; // the prototype has the function of Node.js
        channel.mockRestore();
        vi.unstubAllEnvs();
      },
    };
  }

  test('lines go where PM2 takes the lines of the application', () => {
    const taken = vi.fn();
    using _pm2 = underPm2('cluster_mode', taken);
    const out = StandardOutput.open();
    out.write('one\u00e9\n');
    out.write('two\n');
    expect(taken.mock.calls).toEqual([['one\u00e9\n'], ['two\n']]);
  });

  test('a write of PM2 that throws loses no line', () => {
    const taken = vi.fn<(text: string) => void>().mockImplementationOnce(() => {
      throw new Error('a failed write');
    });
    using _pm2 = underPm2('cluster_mode', taken);
    const out = StandardOutput.open();
    expect(() => out.write('one\n')).not.toThrow();
    out.write('two\n');
    expect(taken).toHaveBeenLastCalledWith('one\ntwo\n');
  });

  test.each([
    ['in another mode', 'fork_mode', true],
    ['without a channel to PM2', 'cluster_mode', false],
  ])('%s lines go to the file descriptor', (_, mode, connected) => {
    const taken = vi.fn();
    using _pm2 = underPm2(mode, taken, connected); // an error of the stream or of the channel would end the process
    StandardOutput.open().write('{"not":"for the stream"}\n');
    expect(taken).not.toHaveBeenCalled();
  });
});

test('the last lines of a process are reported before the output writes what is left', () => {
  const output = (): void => undefined;
  process.on('exit', output); // the listener of the standard output, which came first
  const before = process.listeners('exit');
  const off = reportAtExit(() => undefined);
  const after = process.listeners('exit');
  off();
  process.off('exit', output);
  const ours = after.findIndex((listener) => !before.includes(listener));
  expect(ours).toBeGreaterThanOrEqual(0);
  expect(ours).toBeLessThan(after.indexOf(output));
});
