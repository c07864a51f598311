/**
 * A replica as a process that a test kills. last-will-process.ts bundles and starts it. It reports events as
 * JSON lines, and takes orders as lines on its stdin.
 */
import { createInterface } from 'node:readline';
import { Etcd3, type IOptions } from 'etcd3';
import { Election, type ElectionOptions } from 'etcd-election';

export interface ChildPlan {
  readonly client: Omit<IOptions, 'credentials'>;
  /** PEM. */
  readonly credentials?: { readonly ca: string; readonly key?: string; readonly cert?: string };
  readonly election: string;
  readonly options: ElectionOptions;
  readonly value: string;
}

export type ChildOrder = { block: number } | { close: true } | { exit: number };

const say = (said: object): void => void process.stdout.write(`${JSON.stringify(said)}\n`);

createInterface(process.stdin).on('line', (line) => {
  const message = JSON.parse(line) as ChildPlan | ChildOrder;
  if ('block' in message) block(message.block);
  else if ('exit' in message) process.exit(message.exit);
  else if ('close' in message) void election?.close().then(() => say({ closed: true }));
  else stand(message);
});

let election: Election | undefined;

function stand({ client: options, credentials, election: name, options: settings, value }: ChildPlan): void {
  const client = new Etcd3({
    ...options,
    ...(credentials !== undefined && {
      credentials: {
        rootCertificate: Buffer.from(credentials.ca),
        ...(credentials.key !== undefined && { privateKey: Buffer.from(credentials.key) }),
        ...(credentials.cert !== undefined && { certChain: Buffer.from(credentials.cert) }),
      },
    }),
  });
  const nothing = (): void => undefined;
  const warn = (fields: object): void => say({ warned: (fields as { event: string }).event });
  election = new Election(client, name, {
    ...settings,
    logger: { trace: nothing, debug: nothing, info: nothing, warn, error: warn },
    onLeader: ({ leaseId, fencingToken }) =>
      say({ leads: { leaseId, fencingToken: fencingToken.toString() } }),
    onFollower: () => say({ follows: true }),
  });
  void election.campaign(value);
}

function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
  say({ blocked: ms });
}
