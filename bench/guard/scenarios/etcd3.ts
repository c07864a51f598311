/** Loops on the user's own etcd3 client. */
import { Election } from 'etcd-election';
import { setTimeout as sleep } from 'node:timers/promises';
import { client, NAME, IP, stand, foreverSwallowing } from './caller.ts';

export const etcd3Calls: Record<string, () => unknown> = {
  "the user's calls keep the breaker open": async () => {
    stand();
    await foreverSwallowing(async () => {
      await sleep(250);
      await client.get('user/key').options({ deadline: Date.now() + 1 });
    });
  },
  "the user's calls fail too": async () => {
    stand();
    await foreverSwallowing(async () => {
      await sleep(250);
      await client.get('user/key');
    });
  },
  'client closed under us': async () => {
    await new Election(client, NAME).campaign(IP);
    client.close();
    await foreverSwallowing(() => new Election(client, NAME).campaign(IP));
  },
};
