import { request } from 'node:http';

/** etcd's JSON gateway, for tests that ask etcd without a client. It opens one connection per call and keeps none. */
export interface EtcdOverHttp {
  readonly put: (key: string, value: string) => Promise<void>;
  /** `undefined` if the key does not exist. */
  readonly get: (key: string) => Promise<string | undefined>;
}

export function etcdOverHttp(endpoint: string, { timeoutMs = 5000 } = {}): EtcdOverHttp {
  const call = (path: string, body: object): Promise<string> =>
    new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(timeoutMs);
      const sent = request(`${endpoint}${path}`, { method: 'POST', agent: false, signal }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => (text += part));
        response.on('error', reject);
        response.on('end', () =>
          response.statusCode === 200 ? resolve(text) : reject(new Error(`${response.statusCode}: ${text}`)),
        );
      });
      sent.on('error', reject);
      sent.end(JSON.stringify(body));
    });
  return {
    async put(key, value) {
      await call('/v3/kv/put', { key: encode(key), value: encode(value) });
    },
    async get(key) {
      const { kvs } = JSON.parse(await call('/v3/kv/range', { key: encode(key) })) as {
        kvs?: { value: string }[];
      };
      const value = kvs?.[0]?.value;
      return value === undefined ? undefined : Buffer.from(value, 'base64').toString();
    },
  };
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}
