import { get } from 'node:http';
import type { Inspected } from './record-profile.ts';
import { WebSocketText } from './websocket.ts';

const SAY_WITHIN_MS = 1_000;

/** The URL of the inspector on this port, or undefined if there is none. */
export function inspectorUrl(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const asked = get({ host: '127.0.0.1', port, path: '/json/list', agent: false }, (response) => {
      let text = '';
      response.on('data', (data: Buffer) => (text += data.toString()));
      response.on('end', () => resolve(/"webSocketDebuggerUrl":\s*"(ws:[^"]+)"/.exec(text)?.[1]));
      response.on('error', () => resolve(undefined));
    });
    // Limits the total time. Any program may listen on this port, and may send single bytes for ever.
    const limit = setTimeout(() => asked.destroy(), SAY_WITHIN_MS);
    asked.on('error', () => resolve(undefined));
    asked.on('close', () => {
      clearTimeout(limit);
      resolve(undefined);
    });
  });
}

export interface Evaluated {
  readonly result?: { readonly value?: unknown };
}

/** A connection to the inspector of another process on this machine. */
export class RemoteInspector implements Inspected {
  readonly #waiting = new Map<number, (error: Error | null, result?: object) => void>();
  #socket: WebSocketText | undefined;
  #lastId = 0;

  static async connect(url: string): Promise<RemoteInspector> {
    const remote = new RemoteInspector();
    remote.#socket = await WebSocketText.connect(url, remote.#receive, remote.#ended);
    return remote;
  }

  post(method: string, params?: object, done?: (error: Error | null, result?: object) => void): void {
    const id = ++this.#lastId;
    if (done !== undefined) this.#waiting.set(id, done);
    this.#socket?.send(JSON.stringify({ id, method, params }));
  }

  /** Evaluates an expression in the other process. */
  evaluate(expression: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.post('Runtime.evaluate', { expression, returnByValue: true }, (error, result) => {
        if (error) reject(error);
        else resolve((result as Evaluated).result?.value);
      });
    });
  }

  close(): void {
    this.#socket?.close();
  }

  readonly #receive = (text: string): void => {
    const message = messageOf(text);
    if (message === undefined) return this.close(); // this also ends the calls that wait
    const { id, result, error } = message;
    if (id === undefined) return;
    this.#waiting.get(id)?.(error === undefined ? null : new Error(error.message), result);
    this.#waiting.delete(id);
  };

  readonly #ended = (): void => {
    for (const done of this.#waiting.values()) done(new Error('the process closed its inspector, or ended'));
    this.#waiting.clear();
  };
}

interface Message {
  readonly id?: number;
  readonly result?: object;
  readonly error?: { readonly message: string };
}

/** @returns undefined if the text is not JSON, because any program may listen on the port. */
function messageOf(text: string): Message | undefined {
  try {
    return Object(JSON.parse(text)) as Message;
  } catch {
    return undefined;
  }
}
