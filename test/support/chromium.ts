import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

/** Path of Chromium: CHROMIUM, or a usual name on the PATH; undefined without one. */
export const chromiumPath: string | undefined = [
  process.env['CHROMIUM'],
  'chromium',
  'chromium-browser',
  'google-chrome',
]
  .filter((name) => name !== undefined)
  .find((name) => {
    try {
      execFileSync(name, ['--version'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  });

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--hide-scrollbars',
  '--remote-debugging-pipe',
];

/** One page in a real browser, controlled through a pipe by the part of DevTools' protocol that the tests need. */
export class BrowserPage implements AsyncDisposable {
  /** URLs that the page requested, and errors that the browser reported. */
  readonly requests: string[] = [];
  readonly complaints: string[] = [];
  readonly #browser: ChildProcess;
  readonly #profile: string;
  readonly #waiting = new Map<number, (answer: { result?: unknown; error?: { message: string } }) => void>();
  readonly #events = new Map<string, () => void>();
  #session: string | undefined;
  #lastId = 0;

  private constructor(browser: ChildProcess, profile: string) {
    this.#browser = browser;
    this.#profile = profile;
    let rest = '';
    (browser.stdio[4] as Readable).on('data', (data: Buffer) => {
      const messages = (rest + data.toString()).split('\0');
      rest = messages.pop() ?? '';
      for (const message of messages) this.#receive(JSON.parse(message) as Message);
    });
  }

  static async open(path: string): Promise<BrowserPage> {
    const profile = await mkdtemp(join(tmpdir(), 'chromium-'));
    const browser = spawn(path, [...FLAGS, `--user-data-dir=${profile}`, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    });
    const page = new BrowserPage(browser, profile);
    const { targetId } = (await page.send('Target.createTarget', { url: 'about:blank' })) as {
      targetId: string;
    };
    const attached = await page.send('Target.attachToTarget', { targetId, flatten: true });
    page.#session = (attached as { sessionId: string }).sessionId;
    for (const domain of ['Page', 'Network', 'Runtime', 'Log']) await page.send(`${domain}.enable`);
    return page;
  }

  async goto(url: string): Promise<void> {
    const loaded = new Promise<void>((resolve) => this.#events.set('Page.loadEventFired', resolve));
    await this.send('Page.navigate', { url });
    await loaded;
  }

  /** Runs an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const answer = await this.send('Runtime.evaluate', {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    const { result, exceptionDetails } = answer as {
      result: { value: T };
      exceptionDetails?: { text: string };
    };
    if (exceptionDetails) throw new Error(`in the page: ${JSON.stringify(exceptionDetails)}`);
    return result.value;
  }

  async click(x: number, y: number): Promise<void> {
    const at = { x, y, button: 'left', clickCount: 1 };
    await this.send('Input.dispatchMouseEvent', { ...at, type: 'mouseMoved', button: 'none' });
    await this.send('Input.dispatchMouseEvent', { ...at, type: 'mousePressed' });
    await this.send('Input.dispatchMouseEvent', { ...at, type: 'mouseReleased' });
  }

  async type(text: string): Promise<void> {
    await this.send('Input.insertText', { text });
  }

  async key(key: string): Promise<void> {
    const code = { Tab: 9, Enter: 13, Backspace: 8 }[key];
    const pressed = { key, ...(code !== undefined && { windowsVirtualKeyCode: code }) };
    await this.send('Input.dispatchKeyEvent', { type: 'keyDown', ...pressed });
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', ...pressed });
  }

  async scheme(value: 'light' | 'dark'): Promise<void> {
    await this.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value }] });
  }

  async size(width: number, height: number): Promise<void> {
    await this.send('Emulation.setDeviceMetricsOverride', {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
  }

  /** @returns a PNG of the visible page. */
  async screenshot(): Promise<Buffer> {
    const { data } = (await this.send('Page.captureScreenshot', { format: 'png' })) as { data: string };
    return Buffer.from(data, 'base64');
  }

  send(method: string, params: object = {}): Promise<unknown> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to ${method}`)), 30_000);
      this.#waiting.set(id, ({ result, error }) => {
        clearTimeout(timer);
        if (error) reject(new Error(`${method}: ${error.message}`));
        else resolve(result);
      });
      const message = {
        id,
        method,
        params,
        ...(this.#session !== undefined && { sessionId: this.#session }),
      };
      (this.#browser.stdio[3] as Writable).write(`${JSON.stringify(message)}\0`);
    });
  }

  #receive({ id, method, params, ...answer }: Message): void {
    if (id !== undefined) {
      this.#waiting.get(id)?.(answer);
      this.#waiting.delete(id);
    } else if (method === 'Network.requestWillBeSent') this.requests.push(String(params?.request?.url));
    else if (method === 'Log.entryAdded') this.complaints.push(String(params?.entry?.text));
    else if (method === 'Runtime.exceptionThrown') this.complaints.push(JSON.stringify(params));
    if (method !== undefined) this.#events.get(method)?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#browser.kill('SIGKILL');
    if (this.#browser.exitCode === null && this.#browser.signalCode === null)
      await once(this.#browser, 'exit');
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

interface Message {
  id?: number;
  method?: string;
  params?: { request?: { url: string }; entry?: { text: string } };
  result?: unknown;
  error?: { message: string };
}
