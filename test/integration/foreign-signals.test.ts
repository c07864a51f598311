import { ElectionClosedError } from 'etcd-election';
import { captureProcess, captureProfile } from 'etcd-election/diagnostics';
import { describe, expect } from 'vitest';
import { within } from '../support/eventually.ts';
import { foreignControllers } from '../support/foreign-signals.mjs';
import { SOON_MS, test } from '../support/world.ts';

// Services are tested under happy-dom and jsdom, and run with polyfills: their signals have another class.

describe.for(foreignControllers)('a signal of %s', ([, make]) => {
  test('in the options closes the election', async ({ candidate }) => {
    await candidate('alice').campaign();
    const controller = make();
    const bob = candidate('bob', { signal: controller.signal });
    const waiting = bob.campaign();
    await bob.queued();

    controller.abort();

    await within(SOON_MS, 'the campaign to end', expect(waiting).rejects.toThrow(ElectionClosedError));
    expect(bob.election.status.state).toBe('closed');
  });

  test('in the options, already aborted, closes the election from the start', async ({ candidate }) => {
    const controller = make();
    controller.abort();
    const alice = candidate('alice', { signal: controller.signal });
    await expect(alice.campaign()).rejects.toThrow(ElectionClosedError);
  });

  test('in lead() ends the wait', async ({ candidate }) => {
    await candidate('alice').campaign();
    const bob = candidate('bob');
    const controller = make();
    const waiting = bob.election.lead(async () => 1, { signal: controller.signal });
    await bob.queued();

    controller.abort();

    await within(SOON_MS, 'lead() to end', expect(waiting).rejects.toThrow(ElectionClosedError));
  });

  test('in observe() ends the iteration', async ({ client, election }) => {
    const controller = make();
    const leaders = election(client()).observe({ signal: controller.signal });
    expect(await leaders.next()).toEqual({ done: false, value: undefined });
    const next = leaders.next();

    controller.abort();

    expect(await within(SOON_MS, 'the iteration to end', next)).toEqual({ done: true, value: undefined });
  });

  test('in captureProfile() and captureProcess() ends them with a reason', async () => {
    const controller = make();
    const recording = captureProfile({ seconds: 60, signal: controller.signal });
    controller.abort();
    await within(SOON_MS, 'the recording to end', expect(recording).rejects.toBeTruthy());
    await expect(captureProfile({ seconds: 60, signal: controller.signal })).rejects.toBeTruthy();
    const other = captureProcess({ pid: process.pid, signal: controller.signal });
    await expect(other).rejects.toBeTruthy(); // before it signals the process
  });

  test('its controller is refused with advice', async ({ candidate, client, election }) => {
    const controller = make() as unknown as AbortSignal;
    const advice = /an AbortSignal \(if you have a controller, pass controller\.signal\)/;
    expect(() => candidate('alice', { signal: controller })).toThrow(advice);
    const bob = election(client());
    await expect(bob.lead(async () => 1, { signal: controller })).rejects.toThrow(advice);
    expect(() => bob.observe({ signal: controller })).toThrow(advice);
    await expect(captureProfile({ signal: controller })).rejects.toThrow(advice);
    await expect(captureProcess({ pid: process.pid, signal: controller })).rejects.toThrow(advice);
  });
});
