/** The scenes of the demo. In every scene the leader resigns or fails, or etcd fails. Then a new term begins. */
import { type Reign } from './history.ts';
import { span } from './screen.ts';
import { type Stage, TTL_SECONDS } from './stage.ts';

const TTL_MS = TTL_SECONDS * 1000;
/** How long etcd is unavailable: longer than a term can last without etcd. */
const OUTAGE_MS = TTL_MS + 1000;
/** How long the demo watches a replica that was frozen or cut off. The replica must not act in this time. */
const SUSPENSE_MS = 1000;

export interface Scene {
  /** The name for `--only`. */
  readonly name: string;
  /** What happens, for the heading and for the table. */
  title(leader: string, stage: Stage): string;
  strike(stage: Stage, leader: Reign): Promise<void>;
  /**
   * Runs after the next term has begun. Ends the fault, unless `strike` has ended it.
   *
   * @returns the result, for the screen.
   */
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
      return `${replica} is a candidate again, at the end of the queue.`;
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
        ? `${struck.replica} continues (SIGCONT), sees that its term has ended, and does nothing.`
        : `${struck.replica} continues (SIGCONT) and acts as leader ${acts} times!`;
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
      return `${struck.replica} had stopped by itself ${span(earlyMs)} before ${next.replica} led. ${struck.replica} is connected again.`;
    },
  },
  {
    name: 'etcd',
    title: (_leader, stage) =>
      stage.ownsEtcd
        ? `etcd is killed, and restarted ${span(OUTAGE_MS)} later`
        : `all replicas are cut off from etcd for ${span(OUTAGE_MS)}`,
    async strike(stage) {
      await stage.loseEtcd();
      await stage.pause(OUTAGE_MS);
      await stage.bringEtcdBack();
    },
    async mend(stage, _struck, next) {
      return `${next.replica} led ${span(next.firstMs - stage.etcdBackMs)} after etcd answered again.`;
    },
  },
];
