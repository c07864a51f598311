/** What happens to the replicas in the demo. Each scene strikes the leader, and the next one leads. */
import { type Reign } from './history.ts';
import { span } from './screen.ts';
import { type Stage, TTL_SECONDS } from './stage.ts';

const TTL_MS = TTL_SECONDS * 1000;
/** How long etcd stays away: longer than any term can last without it. */
const OUTAGE_MS = TTL_MS + 1000;
/** Time for one that was frozen or cut off to show that it does not act. */
const SUSPENSE_MS = 1000;

export interface Scene {
  /** In `--only`. */
  readonly name: string;
  /** What happens, for the heading and for the table. */
  title(leader: string, stage: Stage): string;
  /** Strikes. */
  strike(stage: Stage, leader: Reign): Promise<void>;
  /** Puts right what was struck, once the next one leads. @returns what came of it, in a sentence. */
  mend(stage: Stage, struck: Reign, next: Reign): Promise<string>;
}

export const scenes: readonly Scene[] = [
  {
    name: 'resign',
    title: (leader) => `${leader} resigns`,
    async strike(stage, { replica }) {
      stage.replica(replica).resign();
    },
    async mend(_stage, { replica }) {
      return `${replica} stands again, at the back of the queue.`;
    },
  },
  {
    name: 'kill',
    title: (leader) => `${leader} is killed (kill -9)`,
    async strike(stage, { replica }) {
      await stage.replica(replica).kill();
    },
    async mend(stage, { replica }) {
      stage.replica(replica).start();
      return `${replica} is started again.`;
    },
  },
  {
    name: 'freeze',
    title: (leader) => `${leader} is frozen until its lease is over (SIGSTOP)`,
    async strike(stage, { replica }) {
      stage.replica(replica).freeze();
    },
    async mend(stage, struck) {
      const before = stage.latestOf(struck).acts;
      stage.replica(struck.replica).thaw();
      await stage.pause(SUSPENSE_MS);
      const acts = stage.latestOf(struck).acts - before;
      return acts === 0
        ? `${struck.replica} wakes up (SIGCONT), knows that its time is over, and does nothing.`
        : `${struck.replica} wakes up (SIGCONT), and acts as leader ${acts} times!`;
    },
  },
  {
    name: 'cut',
    title: (leader) => `${leader} is cut off from etcd`,
    async strike(stage, { replica }) {
      stage.replica(replica).cutOff();
    },
    async mend(stage, struck, next) {
      const earlyMs = next.firstMs - stage.latestOf(struck).lastMs;
      await stage.pause(SUSPENSE_MS);
      stage.replica(struck.replica).reconnect();
      return `${struck.replica} had stopped by itself, ${span(earlyMs)} before. Its cable is plugged in again.`;
    },
  },
  {
    name: 'etcd',
    title: (_leader, stage) =>
      stage.ownsEtcd
        ? `etcd is killed, and restarted ${span(OUTAGE_MS)} later`
        : `all are cut off from etcd for ${span(OUTAGE_MS)}`,
    async strike(stage) {
      await stage.loseEtcd();
      await stage.pause(OUTAGE_MS);
      await stage.bringEtcdBack();
    },
    async mend(stage, _struck, next) {
      return `That was ${span(next.firstMs - stage.etcdBackMs)} after etcd answered again.`;
    },
  },
];
