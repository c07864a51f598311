// A small service as a process: `ending-child.ts <what it does> <endpoint> <prefix>`.
import { Etcd3 } from 'etcd3';
import { Election } from 'etcd-election';
import pino from 'pino';

const [, , does = '', endpoint = '', prefix = ''] = process.argv;
const client = new Etcd3({ hosts: endpoint });
const say = (what: string): void => void process.stdout.write(`${what}\n`);
const options = { prefix, logger: pino({ level: 'silent' }), ttlSeconds: 60 };

const services: Record<string, () => Promise<void>> = {
  /** Does not await `close()`, a common mistake. */
  'exit on SIGTERM': async () => {
    const logger = pino({ level: 'warn' });
    const election = new Election(client, 'e', { ...options, logger });
    process.once('SIGTERM', () => {
      void election.close();
      process.exit(0);
    });
    await election.campaign('child');
    say('leads');
  },
  /** Ends in an orderly way on SIGTERM, through the signal option alone. */
  'abort on SIGTERM': async () => {
    const stop = new AbortController();
    process.once('SIGTERM', () => stop.abort());
    const election = new Election(client, 'e', { ...options, signal: stop.signal });
    await election.campaign('child');
    say('leads');
    stop.signal.addEventListener('abort', () => {
      // This caller awaits it correctly, long after the signal has aborted.
      void election.close().then(() => client.close());
    });
  },
  /** Ends in an orderly way on SIGTERM, from within lead(). */
  'lead until SIGTERM': async () => {
    const stop = new AbortController();
    process.once('SIGTERM', () => stop.abort());
    const election = new Election(client, 'e', options);
    await election.lead(
      (term) => {
        say('leads');
        return new Promise<void>((resolve) => term.signal.addEventListener('abort', () => resolve()));
      },
      { signal: stop.signal },
    );
    client.close();
  },
  /** Awaits nothing and has no listener: refusals must not end the process. */
  'nobody listens': async () => {
    const election = new Election(client, 'e', options);
    const closed = new Election(client, 'closed', options);
    await closed.close();
    void closed.campaign();
    void election.campaign(7 as unknown as string);
    void election.campaign('child');
    void new Election(client, 'e', options).campaign('second');
    const broken = new Election(client, 'broken', {
      ...options,
      onLeader: () => Promise.reject(new Error('broken work')),
      onFollower: () => Promise.reject(new Error('broken follower')),
    });
    void broken.campaign('child');
    const gone = new Etcd3({ hosts: endpoint });
    gone.close();
    void new Election(gone, 'gone', options).campaign('child');
    setTimeout(() => {
      void election.resign();
      void broken.resign();
    }, 700);
    setTimeout(() => {
      say('survived');
      void Promise.all([election.close(), broken.close()]).then(() => client.close());
    }, 1_500);
  },
  /** Uses the default logger. */
  'exit in onLeader': async () => {
    const onLeader = (): never => process.exit(3);
    await new Election(client, 'e', { ...options, logger: undefined, onLeader }).campaign('child');
  },
  /** Uses the default logger, and says on standard error what happens. */
  'log what cannot be written': async () => {
    process.on('exit', () => console.error('exits'));
    const election = new Election(client, 'e', { ...options, logger: undefined });
    await election.campaign('child');
    await election.stepDown();
    await election.close();
    client.close();
    console.error(election.status.state);
  },
  /** Logs nothing, and has nothing left to do. */
  'close and end': async () => {
    const election = new Election(client, 'e', options);
    await election.campaign('child');
    say('leads');
    await election.close();
    client.close();
    say('closed');
  },
};

await services[does]!();
