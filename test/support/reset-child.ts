// Closes one watch while another call is being sent, and another watch on that call's answer, at every step of the
// sending: `reset-child.ts <endpoint>`.
import { Etcd3, type IWatchRequest, type IWatchResponse } from 'etcd3';
import { sharedClientOf } from '../../src/client/shared-client.ts';
import type { OpenStream } from '../../src/etcd/transport.ts';

type Watch = OpenStream<IWatchRequest, IWatchResponse>;

const client = new Etcd3({ hosts: process.argv[2]! });
const link = sharedClientOf(client).transport;
const withinMs = 5_000;

/** More microtasks than there are between a call and its message on the wire. */
const STEPS = 40;
/** Blocks reading for this long: the answer arrives before the writes of the next turn. */
const BUSY_MS = 15;

const watch = async (): Promise<Watch> => {
  const stream = await link.stream<IWatchRequest, IWatchResponse>(
    'watch',
    (host, options) => host.watchClient.watch(options),
    { withinMs },
  );
  const created = new Promise((resolve) => stream.raw.on('data', resolve));
  stream.raw.on('error', () => undefined);
  stream.raw.write({ create_request: { key: Buffer.from('key') } });
  await created;
  return stream;
};

const read = (): Promise<unknown> =>
  link.unary('read', (host, options) => host.kv.range({ key: Buffer.from('key') }, options), { withinMs });

const block = (): void => {
  const untilMs = performance.now() + BUSY_MS;
  while (performance.now() < untilMs);
};

for (let steps = 0; steps < STEPS; steps++) {
  const [first, second] = [await watch(), await watch()];
  await new Promise<void>((resolve) => setTimeout(resolve, 1)); // nothing of the above is in flight any more
  const answered = read().then(() => second.close());
  for (let step = 0; step < steps; step++) await Promise.resolve();
  first.close();
  const other = read();
  setTimeout(block, 0);
  await Promise.all([answered, other]);
  process.stdout.write(`${steps + 1} of ${STEPS}\n`);
}
client.close();
