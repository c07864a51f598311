import { expect, test } from 'vitest';
import { modelRig, Play } from './differential/rig.ts';
import { ANSWER_WITHIN_MS, waitFor } from './differential/wait.ts';

// The comparisons of etcd with its model. A wait without a limit once hung on a busy machine, and said nothing.

test('a frozen member of the model never answers: the call fails, and says what it waited for', async () => {
  const play = new Play(modelRig('3.5.30', 1));
  const member = await play.leader();
  member.freeze();
  await expect(play.ask(member, 'status', {})).rejects.toThrow(
    `the model: the end of an action: not within ${ANSWER_WITHIN_MS} ms`,
  );
});

test('a member that does not become ready: its start fails, and says so', async () => {
  const play = new Play(modelRig('3.5.30', 1));
  const [member, ...others] = play.rig.members;
  await Promise.all(play.rig.members.map((each) => each.kill()));
  others.forEach((other) => other.isolate());
  await expect(member!.start()).rejects.toThrow('the model: a started member is ready: not within');
});

test('a wait names what it waited for, and adds the details', async () => {
  let nowMs = 0;
  const pause = async (): Promise<void> => void (nowMs += 1_000);
  const limits = { nowMs: () => nowMs, pause, details: () => '; 3 messages came' };
  await expect(waitFor('an event', () => false, limits)).rejects.toThrow(
    `an event: not within ${ANSWER_WITHIN_MS} ms; 3 messages came`,
  );
  await waitFor('a later event', () => nowMs > 100_000, limits);
});

test('a condition of a scenario that never holds is shown', async () => {
  const play = new Play(modelRig('3.5.30', 1));
  await expect(play.until(() => play.rig.members.length > 3, 100)).rejects.toThrow(
    /100 ms: .*members\.length > 3/,
  );
});
