/**
 * `etcd-election profile URL | --pid PID`: records where the CPU time of a service goes.
 */
import type { ChildProcess } from 'node:child_process';
import { access, constants, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
// Entry points of the package import each other only by the name of the package.
import {
  captureProcess,
  findSuspects,
  toFlameGraph,
  toPprof,
  toTop,
  type CpuProfile,
} from 'etcd-election/diagnostics';
import { isJson, UsageError, wholeNumber } from './arguments.ts';
import { downloadProfile } from './download-profile.ts';
import { startInspectorGuard } from './inspector-guard.ts';
import { EXIT } from './exit-codes.ts';
import { plain } from './plain-error.ts';
import { paletteFor, print, printJson, safe, SafeText, wrapped, type Terminal } from './terminal.ts';

export const usage = `Usage: etcd-election profile URL [flags]
       etcd-election profile --pid PID [flags]

Shows where the main thread of a service spends CPU time. Prints the most expensive functions, as \`go tool pprof -top\` does.
Writes a flame graph (.html), a pprof file (.pb.gz) and a .cpuprofile. Works even while the main thread spins.

  URL               address of serveDiagnostics(), such as http://127.0.0.1:6161
  --pid PID         any Node process of yours on this machine (Linux only); profile opens its inspector during the recording
  --port NUMBER     inspector port of that process (its --inspect-port); default 9229
  --seconds NUMBER  how long to record; default 30
  --token TOKEN     token of the service; ETCD_ELECTION_DIAGNOSTICS_TOKEN
  --out PATH        output path, without extension; default ./profile-TIME
  --rows NUMBER     how many functions to print; default 20
  --json, -w json   write JSON: the written files, and the function to look at
  -h, --help        print this help`;

interface ProfileLine {
  readonly url: URL | undefined;
  readonly pid: number | undefined;
  readonly port: number;
  readonly seconds: number;
  readonly rows: number;
  readonly token: string | undefined;
  readonly out: string;
  readonly json: boolean;
}

const STOPS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export async function profile(args: readonly string[], terminal: Terminal): Promise<number> {
  const line = readLine(args, terminal.env);
  if (line === undefined) {
    print(terminal.stdout, SafeText.ofOurs(wrapped(usage, terminal.stdout.columns)));
    return EXIT.ok;
  }
  await checkFolder(line.out); // a failure after the recording would lose the profile
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort(new Error('interrupted'));
  for (const name of STOPS) process.once(name, interrupt);
  const stopBar = progressBar(terminal, line.seconds);
  let recorded: CpuProfile;
  try {
    recorded = await record(line, interrupted.signal, terminal);
  } finally {
    stopBar();
    for (const name of STOPS) process.off(name, interrupt);
  }
  const files = await write(recorded, line);
  const [suspect] = findSuspects(recorded, { atMost: 1 });
  if (line.json) {
    printJson(terminal.stdout, { suspect: suspect ?? null, files });
    return EXIT.ok;
  }
  const { bold, dim } = paletteFor(terminal.stdout, terminal.env);
  for (const row of toTop(recorded, { rows: line.rows }).trimEnd().split('\n'))
    print(terminal.stdout, safe`${row}`);
  if (suspect !== undefined) {
    const { hotLine, line: firstLine, file } = suspect;
    print(terminal.stdout, safe``);
    print(terminal.stdout, safe`${bold(`Look at ${suspect.function}`)}, ${file}:${hotLine ?? firstLine}`);
  }
  for (const path of files) print(terminal.stdout, dim(`written: ${path}`));
  return EXIT.ok;
}

/** @throws {UsageError} if no file can be written at this path. */
async function checkFolder(out: string): Promise<void> {
  if (out === '' || out.endsWith('/'))
    throw new UsageError(
      `--out: expected the beginning of file names, such as ${join(out, 'profile')}, got ${out}`,
    );
  const folder = dirname(out);
  try {
    await access(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code !== 'ENOENT';
    throw new UsageError(`--out: ${isThere ? 'cannot write to' : 'there is no folder'} ${folder}`, {
      cause: error,
    });
  }
}

async function write(recorded: CpuProfile, { out, pid, url }: ProfileLine): Promise<string[]> {
  const title = `CPU profile of ${url?.host ?? `process ${pid}`}`;
  const files = {
    [`${out}.html`]: toFlameGraph(recorded, { title }),
    [`${out}.pb.gz`]: toPprof(recorded),
    [`${out}.cpuprofile`]: JSON.stringify(recorded),
  };
  // The files contain paths and function names, so only the owner may read them.
  for (const [path, data] of Object.entries(files))
    await writeFile(path, data, { mode: 0o600 }).catch((error: unknown) => {
      throw new Error(`cannot write ${path}: ${plain(error)} (see --out)`, { cause: error });
    });
  return Object.keys(files);
}

function record(line: ProfileLine, signal: AbortSignal, terminal: Terminal): Promise<CpuProfile> {
  const { url, pid, port, seconds, token } = line;
  if (pid !== undefined) return captureGuarded({ pid, port, seconds, signal }, terminal);
  return downloadProfile(new URL(`debug/pprof/cpuprofile?seconds=${seconds}`, url), token, seconds, signal);
}

async function captureGuarded(
  options: { pid: number; port: number; seconds: number; signal: AbortSignal },
  terminal: Terminal,
): Promise<CpuProfile> {
  let guard: ChildProcess | undefined;
  return await captureProcess({
    ...options,
    onSignal: () => (guard = startInspectorGuard(options.pid, options.port, terminal)),
    onClosed: () => guard?.stdin?.end('closed'), // otherwise the guard closes the inspector when this process ends
  });
}

/** Shows a progress bar if standard error is a terminal. @returns a function that removes it. */
function progressBar({ stderr, env }: Terminal, seconds: number): () => void {
  if (stderr.isTTY !== true || env['TERM'] === 'dumb') return () => {};
  const WIDTH = 30;
  const began = performance.now();
  const draw = (): void => {
    const passed = Math.min(seconds, (performance.now() - began) / 1000);
    const done = Math.round((passed / seconds) * WIDTH);
    stderr.write(
      `\r\u001b[Krecording ${'█'.repeat(done)}${'░'.repeat(WIDTH - done)} ${passed.toFixed(0)} of ${seconds} s`,
    );
  };
  draw();
  const timer = setInterval(draw, 200);
  return () => {
    clearInterval(timer);
    stderr.write('\r\u001b[K');
  };
}

/**
 * Parses the command line.
 *
 * @returns undefined if it asks for help.
 * @throws {UsageError}
 */
function readLine(args: readonly string[], env: Terminal['env']): ProfileLine | undefined {
  const { values, positionals } = parsed(args);
  if (values.help === true) return undefined;
  const [address, ...more] = positionals;
  if ((address === undefined) === (values.pid === undefined) || more.length > 0) {
    throw new UsageError('give one URL, or --pid PID');
  }
  if (address !== undefined && !/^https?:\/\//.test(address)) {
    throw new UsageError(`expected a URL such as http://127.0.0.1:6161, got ${address}`);
  }
  if (address !== undefined && !URL.canParse(address)) throw new UsageError(`not a URL: ${address}`);
  return {
    url: address === undefined ? undefined : baseOf(address),
    pid: values.pid === undefined ? undefined : wholeNumber('pid', values.pid, 1, 2 ** 31 - 1),
    port: wholeNumber('port', values.port ?? '9229', 1, 65_535),
    seconds: secondsFrom(values.seconds ?? '30'),
    rows: wholeNumber('rows', values.rows ?? '20', 1, 10_000),
    token: tokenFrom(values.token ?? env['ETCD_ELECTION_DIAGNOSTICS_TOKEN']),
    json: isJson(values),
    out: values.out ?? `profile-${new Date().toISOString().replaceAll(':', '-')}`,
  };
}

/** @throws {UsageError} */
function tokenFrom(token: string | undefined): string | undefined {
  if (token === undefined || /^[\x21-\x7e]+$/.test(token)) return token;
  throw new UsageError('--token: expected printable ASCII characters without spaces');
}

/** The base of an address. Drops `/debug/pprof` and what follows, which the user may have copied. */
function baseOf(address: string): URL {
  const url = new URL(address);
  url.pathname = url.pathname.replace(/debug\/pprof(\/.*)?$/, '').replace(/\/*$/, '/');
  url.search = '';
  url.hash = '';
  return url;
}

/** @throws {UsageError} */
function secondsFrom(text: string): number {
  const seconds = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && seconds >= 0.1 && seconds <= 600) return seconds;
  throw new UsageError(`--seconds: expected a number from 0.1 to 600, got ${text}`);
}

function parsed(args: readonly string[]): {
  values: {
    pid?: string;
    port?: string;
    seconds?: string;
    token?: string;
    out?: string;
    rows?: string;
    help?: boolean;
    json?: boolean;
    'write-out'?: string;
  };
  positionals: string[];
} {
  const text = { type: 'string' } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        pid: text,
        port: text,
        seconds: text,
        token: text,
        out: text,
        rows: text,
        json: { type: 'boolean' },
        'write-out': { type: 'string', short: 'w' },
        help: { type: 'boolean', short: 'h' },
      },
      allowPositionals: true,
    });
  } catch (error) {
    throw new UsageError((error as Error).message.replace(/\. To specify a positional.*$/s, ''), {
      cause: error,
    });
  }
}
