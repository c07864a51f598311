import { channel } from 'node:diagnostics_channel';
import { afterEach, expect, test, vi } from 'vitest';
import { Recorder } from '../../src/telemetry/recorder.ts';

const MOST = 16_384;

afterEach(() => void vi.restoreAllMocks());

test('gauges are limited to 16,384 names of elections, and a warning says so once', () => {
  const warned = vi.spyOn(process, 'emitWarning').mockReturnValue();
  const nothing = (): void => undefined;
  using recorder = new Recorder({ begin: nothing, record: nothing });
  const trip = (from: number, to: number): void => {
    const tripped = channel('etcd-election:guard.tripped');
    for (let number = from; number < to; number++)
      tripped.publish({ type: 'guard.tripped', election: `e${number}`, origin: 'caller' });
  };
  const kept = vi.spyOn(Map.prototype, 'set');
  trip(0, MOST);
  expect(warned).not.toHaveBeenCalled();
  const origins = (): number => kept.mock.calls.filter(([, origin]) => origin === 'caller').length;
  expect(origins()).toBe(MOST);
  trip(MOST, MOST + 10);
  expect(origins()).toBe(MOST);
  expect(warned).toHaveBeenCalledExactlyOnceWith(
    expect.stringContaining(`gauges for at most ${MOST} names of elections. "e${MOST}"`),
    { code: 'ETCD_ELECTION_METRICS' },
  );
  const shown = recorder.read().filter(({ metric }) => metric === 'isLeader');
  expect(shown).toHaveLength(MOST);
});
