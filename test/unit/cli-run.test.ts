import { spawn, type ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { guard, sharedClockMs, type Order } from '../../src/cli/run/guardian.ts';
import { silentLogger, type Narrator } from '../../src/cli/narrator.ts';
import { KILL_WITHIN_MS, parseRun } from '../../src/cli/run/run-options.ts';
import { Runner } from '../../src/cli/run/runner.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import type { Term } from '../../src/index.ts';

// `etcd-election run` with processes that SIGKILL does not end, as those that are stuck in the kernel.

vi.mock('node:child_process');

/** What the runner has written to the command's gate. */
let gate: PassThrough;
/** How the guardian ends instead of getting ready; undefined if it gets ready. */
let guardianEnds: number | undefined;

beforeEach(() => {
  vi.useFakeTimers();
  gate = new PassThrough();
  guardianEnds = undefined;
  vi.mocked(spawn).mockImplementation((file) => {
    const isGuardian = file === process.execPath;
    const child = Object.assign(new EventEmitter(), {
      pid: 4711,
      exitCode: null,
      signalCode: null,
      stdin: new PassThrough(),
      stdout: guardianEnds === undefined ? new PassThrough().end('.') : new PassThrough(),
      stdio: [null, null, null, gate],
      kill: () => true,
      unref: () => undefined,
    });
    process.nextTick(() => child.emit('spawn'));
    if (isGuardian && guardianEnds !== undefined)
      process.nextTick(() => child.emit('exit', guardianEnds, null));
    return child as unknown as ChildProcess;
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Records the signals. The group never ends. */
const immortalGroup = () => vi.spyOn(process, 'kill').mockReturnValue(true);

const killsIn = (kill: ReturnType<typeof immortalGroup>): number =>
  kill.mock.calls.filter(([, signal]) => signal === 'SIGKILL').length;

describe('a command that is stuck in the kernel', () => {
  /** A runner whose command runs. */
  async function serving(flags: readonly string[]) {
    immortalGroup();
    const error = vi.fn();
    const narrator: Narrator = { logger: { ...silentLogger, error }, say: () => undefined };
    const options = parseRun(['e', ...flags, '--', '/bin/sh'], {});
    const runner = new Runner(options, { env: {} } as Terminal, narrator);
    const over = new AbortController();
    const term = {
      election: 'e',
      key: 'election/e/1',
      leaseId: '1',
      fencingToken: 1n,
      signal: over.signal,
      isCurrent: () => !over.signal.aborted,
      remainingMs: () => (over.signal.aborted ? 0 : 9_000),
    } as unknown as Term;
    let end: { exitCode: number; afterMs: number } | undefined;
    const startedMs = performance.now();
    void runner.finished.then((exitCode) => (end = { exitCode, afterMs: performance.now() - startedMs }));
    const served = runner.serve(term);
    await vi.advanceTimersByTimeAsync(0);
    return { runner, error, lose: () => over.abort({ reason: 'evicted' }), served, end: () => end };
  }

  test('SIGTERM: run ends soon after --stop-timeout, and says that the command still runs', async () => {
    const { runner, error, end } = await serving(['--stop-timeout', '3s']);
    runner.endBy('SIGTERM');
    await vi.advanceTimersByTimeAsync(3_000 + KILL_WITHIN_MS + 1_000);
    expect(end()?.exitCode).toBe(137);
    expect(end()?.afterMs).toBeGreaterThanOrEqual(3_000 + KILL_WITHIN_MS);
    expect(error).toHaveBeenCalledOnce();
  });

  test('a second Ctrl-C does not wait for --stop-timeout', async () => {
    const { runner, end } = await serving(['--stop-timeout', '59m']);
    runner.endBy('SIGINT');
    const clockMs = sharedClockMs();
    const asByAPerson = (): void => expect(sharedClockMs() - clockMs).toBeGreaterThan(100);
    await vi.waitFor(asByAPerson, { timeout: 10_000 });
    runner.endBy('SIGINT');
    await vi.advanceTimersByTimeAsync(KILL_WITHIN_MS + 1_000);
    expect(end()?.exitCode).toBe(137);
  });

  test('S5: if the guardian does not get ready, the command does not run', async () => {
    guardianEnds = 1;
    const { error, end } = await serving([]);
    expect(end()?.exitCode).toBe(126);
    expect(error.mock.calls.at(0)?.[1]).toBe(
      '/bin/sh could not be started: the guardian process ended (code 1)',
    );
    expect(gate.readableLength).toBe(0);
  });

  test('after a lost leadership, run can serve the next term', async () => {
    const { lose, served, end } = await serving(['--grace', '2s']);
    lose();
    await vi.advanceTimersByTimeAsync(2_000 + KILL_WITHIN_MS + 1_000);
    await served;
    expect(end()).toBeUndefined(); // the campaign goes on
  });

  test('a command that we may not kill, because it runs as another user: run ends, and starts no second copy', async () => {
    const { error, lose, end } = await serving(['--grace', '2s']);
    vi.spyOn(process, 'kill').mockImplementation(() => {
      throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' });
    });
    lose();
    await vi.advanceTimersByTimeAsync(2_000 + KILL_WITHIN_MS + 1_000);
    expect(end()?.exitCode).toBe(1);
    expect(error.mock.calls.at(0)?.[1]).toMatch(/group 4711, because they run as another user/);
  });

  test('the guardian kills it at every deadline, and again when the runner is gone', async () => {
    const kill = immortalGroup();
    vi.spyOn(process, 'on').mockReturnValue(process);
    const pipe = new PassThrough();
    const ended = vi.fn();
    guard(pipe, new PassThrough(), ended);
    const order: Order = { group: 4711, terminateAtMs: null, killAtMs: 0 };
    for (let deadline = 1; deadline <= 2; deadline++) {
      pipe.write(`${JSON.stringify(order)}\n`);
      await vi.advanceTimersByTimeAsync(10_000);
      expect(killsIn(kill)).toBe(20 * deadline);
    }
    pipe.end();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(killsIn(kill)).toBe(60);
    expect(ended).toHaveBeenCalledOnce();
  });
});

test('a value that etcd-election cannot announce is a wrong command line', () => {
  const asked = (bytes: number) => (): unknown =>
    parseRun(['e', '--value', 'v'.repeat(bytes), '--', '/bin/sh'], {});
  expect(asked(16_384)).not.toThrow();
  expect(asked(16_385)).toThrow('--value: expected at most 16384 bytes, got 16385');
});
