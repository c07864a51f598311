/**
 * Two objects that behave as one member of etcd: the real one and the model. Both accept the same calls and
 * report in the same way.
 */
import { noop } from 'cockatiel';
import { Etcd3 } from 'etcd3';
import type { EtcdRefusal, Member } from '../etcd/cluster.ts';
import type { ModelTime } from './model-time.ts';

/** A response, or the reason for its absence. */
export type Outcome = { readonly response: object } | { readonly refusal: EtcdRefusal };

export interface Stream {
  /** All messages so far. */
  readonly received: object[];
  readonly ended: () => EtcdRefusal | undefined;
  write(message: object): void;
  cancel(): void;
}

export interface Subject {
  unary(method: string, request: object): Promise<Outcome>;
  stream(method: 'watch' | 'leaseKeepAlive'): Promise<Stream>;
  close(): void;
}

const SERVICES: Readonly<Record<string, string>> = {
  range: 'kv',
  put: 'kv',
  deleteRange: 'kv',
  txn: 'kv',
  compact: 'kv',
  leaseGrant: 'leaseClient',
  leaseRevoke: 'leaseClient',
  leaseTimeToLive: 'leaseClient',
  leaseLeases: 'leaseClient',
  status: 'maintenance',
  memberList: 'cluster',
};

type Call = (request: object, options?: object) => Promise<object>;
interface RawStream {
  on(event: 'data', listener: (message: object) => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
  write(message: object): void;
  cancel(): void;
}

/** One member of a real etcd, through etcd3's raw calls without retries. */
export function realMember(endpoint: string, deadlineMs = 20_000): Subject {
  const client = new Etcd3({
    hosts: endpoint,
    faultHandling: { global: noop, host: () => noop },
  });
  const services = client as unknown as Readonly<Record<string, Readonly<Record<string, Call>>>>;
  return {
    async unary(method, request) {
      try {
        const service = services[SERVICES[method]!]!;
        const options = { deadline: Date.now() + deadlineMs };
        return {
          response: await (method === 'status'
            ? service[method]!(options)
            : service[method]!(request, options)),
        };
      } catch (error) {
        return { refusal: refusalOf(error as Error) };
      }
    },
    async stream(method) {
      const raw = (await (method === 'watch'
        ? client.watchClient.watch()
        : client.leaseClient.leaseKeepAlive())) as unknown as RawStream;
      const received: object[] = [];
      let ended: EtcdRefusal | undefined;
      raw.on('data', (message) => received.push(message));
      raw.on('error', (error) => (ended = refusalOf(error)));
      return {
        received,
        ended: () => ended,
        write: (message) => raw.write(message),
        cancel: () => raw.cancel(),
      };
    },
    close: () => client.close(),
  };
}

function refusalOf({ message }: Error): EtcdRefusal {
  // etcd3 wraps some of them in its own text.
  const [, code, text] = /(\d+) [A-Z_]+: (.*?)(?: is expired or revoked)?$/s.exec(message) ?? [];
  return { code: Number(code ?? -1), message: text ?? message };
}

/** One member of the model. Its time moves only as far as an answer takes. */
export function modelMember(member: Member, time: ModelTime): Subject {
  return {
    unary(method, request) {
      let outcome: Outcome | undefined;
      member.unary(method, request, (refusal, response) => {
        outcome = refusal === null ? { response: response! } : { refusal };
      });
      time.runUntilTrue(() => outcome !== undefined, 30_000);
      return Promise.resolve(outcome!);
    },
    stream: (method) => Promise.resolve(modelStream(member, method)),
    close: () => undefined,
  };
}

/** A stream of the model, and its received messages. */
export function modelStream(member: Member, method: Parameters<Member['stream']>[0]): Stream {
  const received: object[] = [];
  let ended: EtcdRefusal | undefined;
  const stream = member.stream(method, {
    data: (message) => received.push(message),
    end: (error) => (ended = error),
  });
  return {
    received,
    ended: () => ended,
    write: (message) => stream.write(message),
    cancel: () => stream.cancel(),
  };
}
