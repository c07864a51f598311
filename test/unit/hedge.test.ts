import { expect, test } from 'vitest';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import { hedged } from '../../src/etcd/hedge.ts';

// Three hosts, each of which does what the test says when it says so.

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

test('one host is asked, and no other while it may answer', async () => {
  const { asked, call } = threeHosts();
  asked[0]!.answers('yes');
  expect(await call).toBe('yes');
  expect(asked).toHaveLength(1);
});

test('where it keeps silent the next one is asked, the first answer counts, and whoever is left is let go', async () => {
  const { asked, call } = threeHosts();
  asked[0]!.keepsSilent();
  asked[1]!.keepsSilent();
  expect(asked).toHaveLength(3);
  asked[1]!.answers('yes');
  expect(await call).toBe('yes');
  expect(asked.map((host) => host.signal.aborted)).toEqual([true, true, true]);
});

test('each host is asked once, though all keep silent', () => {
  const { asked } = threeHosts();
  for (let round = 0; round < 5; round++) asked.at(-1)!.keepsSilent();
  expect(asked).toHaveLength(3);
});

test('one that fails while another is asked is left behind; who fails alone ends it, for the guard to try again', async () => {
  const { asked, call } = threeHosts();
  asked[0]!.keepsSilent();
  asked[0]!.fails(unreachable(true));
  await turn();
  expect(asked[1]!.signal.aborted).toBe(false);
  asked[1]!.fails(unreachable(false));
  await expect(call).rejects.toMatchObject({ kind: 'unavailable', mayHaveHappened: true }); // of the first
  expect(asked).toHaveLength(2);
});

test("etcd's refusal is an answer, whoever told it", async () => {
  const { asked, call } = threeHosts();
  asked[0]!.keepsSilent();
  asked[1]!.fails(new EtcdError('refused', 'permission denied', false));
  await expect(call).rejects.toThrow('permission denied');
  expect(asked[0]!.signal.aborted).toBe(true);
});

test('a signal that aborts ends all of them, and nobody is asked any more', async () => {
  const stop = new AbortController();
  const { asked, call } = threeHosts(stop.signal);
  asked[0]!.keepsSilent();
  stop.abort();
  await expect(call).rejects.toMatchObject({ kind: 'aborted' });
  asked[1]!.keepsSilent();
  expect(asked).toHaveLength(2);
});

test('a signal that has aborted lets the first call say so', async () => {
  const { asked, call } = threeHosts(AbortSignal.abort());
  await expect(call).rejects.toMatchObject({ kind: 'aborted' });
  expect(asked).toHaveLength(1);
});
