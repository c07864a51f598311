import { expect, test } from 'vitest';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import { hedged } from '../../src/etcd/hedge.ts';

// Three hosts that the test controls.

interface Host {
  readonly signal: AbortSignal;
  keepsSilent(): void;
  answers(text: string): void;
  fails(fault: Error): void;
}

function threeHosts(signal?: AbortSignal): { asked: Host[]; call: Promise<string> } {
  const asked: Host[] = [];
  const call = hedged<string>(
    (over, onSilent) =>
      new Promise((resolve, reject) => {
        asked.push({ signal: over, keepsSilent: onSilent, answers: resolve, fails: reject });
        const abort = (): void => reject(new EtcdError('aborted', 'aborted', true));
        if (over.aborted) abort();
        over.addEventListener('abort', abort);
      }),
    { times: 3, signal },
  );
  call.catch(() => undefined);
  return { asked, call };
}

const unreachable = (mayHaveHappened: boolean): EtcdError =>
  new EtcdError('unavailable', mayHaveHappened ? 'no answer' : 'refused', mayHaveHappened);

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

test('only one host is asked while it may answer', async () => {
  const { asked, call } = threeHosts();
  asked[0]!.answers('yes');
  expect(await call).toBe('yes');
  expect(asked).toHaveLength(1);
});

test('a silent host makes us ask the next one; the first answer counts, and other calls are cancelled', async () => {
  const { asked, call } = threeHosts();
  asked[0]!.keepsSilent();
  asked[1]!.keepsSilent();
  expect(asked).toHaveLength(3);
  asked[1]!.answers('yes');
  expect(await call).toBe('yes');
  expect(asked.map((host) => host.signal.aborted)).toEqual([true, true, true]);
});

test('each host is asked once, even if all are silent', () => {
  const { asked } = threeHosts();
  for (let round = 0; round < 5; round++) asked.at(-1)!.keepsSilent();
  expect(asked).toHaveLength(3);
});

test('a failed host is dropped while another is asked; a failure of the last one ends the call', async () => {
  const { asked, call } = threeHosts();
  asked[0]!.keepsSilent();
  asked[0]!.fails(unreachable(true));
  await turn();
  expect(asked[1]!.signal.aborted).toBe(false);
  asked[1]!.fails(unreachable(false));
  await expect(call).rejects.toMatchObject({ kind: 'unavailable', mayHaveHappened: true }); // of the first host
  expect(asked).toHaveLength(2);
});

test('a refusal by etcd is an answer from any host', async () => {
  const { asked, call } = threeHosts();
  asked[0]!.keepsSilent();
  asked[1]!.fails(new EtcdError('refused', 'permission denied', false));
  await expect(call).rejects.toThrow('permission denied');
  expect(asked[0]!.signal.aborted).toBe(true);
});

test('an abort ends all calls, and no further host is asked', async () => {
  const stop = new AbortController();
  const { asked, call } = threeHosts(stop.signal);
  asked[0]!.keepsSilent();
  stop.abort();
  await expect(call).rejects.toMatchObject({ kind: 'aborted' });
  asked[1]!.keepsSilent();
  expect(asked).toHaveLength(2);
});

test('a signal that has already aborted makes the first call reject', async () => {
  const { asked, call } = threeHosts(AbortSignal.abort());
  await expect(call).rejects.toMatchObject({ kind: 'aborted' });
  expect(asked).toHaveLength(1);
});
