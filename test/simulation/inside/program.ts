/**
 * The application in a simulated process: a replica of a service that campaigns in one election, and acts while
 * it leads. It records what it does, like the candidates of the fault lab.
 */
import { Etcd3 } from 'etcd3';
import { Election, type Term } from 'etcd-election';
import { Crowd } from './crowd.ts';
import { Work } from './work.ts';

const { plan, record, log } = globalThis.simulation;

const client = new Etcd3({ hosts: [...plan.hosts] });
let election: Election | undefined;
/** It shares the client and the lease: a key that one leaves behind stays while the other keeps the lease. */
let side: Election | undefined;
let work: Work | undefined;
/** The last leader that it has seen. */
let shownLeader = '';
let counter = plan.firstCounter;
/** Until then all work throws at once: a loop of short terms. */
let runsAwayUntilMs = 0;

const codeOf = (error: unknown): string =>
  (error as { code?: string }).code ?? (error instanceof Error ? error.name : String(error));

const logger = Object.fromEntries(
  ['trace', 'debug', 'info', 'warn', 'error'].map((level) => [
    level,
    (fields: object, text: string): void => log(level, fields, text),
  ]),
) as Record<'trace' | 'debug' | 'info' | 'warn' | 'error', (fields: object, text: string) => void>;

const silent = Object.fromEntries(
  ['trace', 'debug', 'info', 'warn', 'error'].map((level) => [level, (): void => undefined]),
) as unknown as typeof logger;

const crowd = new Crowd(client, globalThis.simulation, silent);
crowd.campaign();

async function lead(term: Term): Promise<void> {
  const mine = new Work(term, { client, plan, nextCounter: () => ++counter });
  work = mine;
  if (performance.now() < runsAwayUntilMs) mine.fail();
  try {
    await mine.run();
  } finally {
    if (work === mine) work = undefined;
  }
}

function stand(): void {
  election ??= new Election(client, plan.election, {
    ttlSeconds: plan.ttlSeconds,
    marginMs: plan.marginMs,
    logger,
    onLeader: lead,
    onFollower: () => record({ type: 'follower', token: '' }),
    onLeaderChange: (leader) => {
      shownLeader = String(leader?.fencingToken);
    },
  });
  side ??= new Election(client, `${plan.election}-side`, {
    ttlSeconds: plan.ttlSeconds,
    marginMs: plan.marginMs,
    logger: silent,
  });
  record({ type: 'stands' });
  side.campaign(plan.name).catch(() => undefined);
  election.campaign(plan.name).catch((error: unknown) => {
    record({ type: 'campaign-ended', code: codeOf(error), text: String(error) });
  });
}

globalThis.program = {
  look: () => work?.stamp(),
  stepDown: () => void election?.stepDown().then(() => record({ type: 'left', how: 'step-down' })),
  resign: () => {
    record({ type: 'resigns' });
    void election?.resign().then(() => record({ type: 'left', how: 'resign' }));
  },
  campaign: stand,
  block: (ms) => Work.block(work, ms),
  throwInWork: () => work?.fail(),
  runAway: (ms) => {
    runsAwayUntilMs = performance.now() + ms;
    work?.fail();
  },
  crowd: (what) => {
    if (what === 'look') crowd.look();
    else if (what === 'tell') crowd.tell();
    else if (what === 'enter') crowd.campaign();
    else crowd.resign(what === 'leave' ? 'all' : 'leaders');
  },
  tell: () => {
    const { position, isPositionEstimate: isEstimate } = election!.status;
    if (position !== undefined) record({ type: 'sees', leader: shownLeader, position, isEstimate });
  },
  close: () =>
    void Promise.all([election?.close(), side?.close(), crowd.close()]).then(() => {
      client.close();
      record({ type: 'left', how: 'close' });
    }),
};

stand();
