import { type BuildOptions, build } from 'esbuild';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { startEtcd } from 'etcd-election/dev';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';

// Each example and the demo, run as a process, as a user runs it.

const TTL_MS = 10_000;
/** How long something may take on a busy machine that happens at once on a quiet one. Far less than a lease lasts. */
const SOON_MS = TTL_MS / 2;
/** A process starts slowly on a busy machine. */
const START_MS = 20_000;

/** Compiled into this folder, from which the packages in node_modules are found. */
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join('node_modules', '.examples-'));
  const names = readdirSync('examples').filter((file) => file.endsWith('.ts'));
  const common: BuildOptions = {
    bundle: true,
    platform: 'node',
    format: 'esm',
    conditions: ['etcd-election:source'],
    external: ['etcd3', 'pino', 'cockatiel', 'winston'],
    outExtension: { '.js': '.mjs' },
    outbase: '.',
    outdir: folder,
  };
  await build({ ...common, entryPoints: names.map((name) => `examples/${name}`) });
  await build({
    ...common,
    entryPoints: ['src/dev/demo/main.ts', 'src/dev/demo/replica.ts'],
    outExtension: {},
    outdir: join(folder, 'demo'),
    outbase: 'src/dev/demo',
  });
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

class Program {
  readonly child: ChildProcess;
  output = '';
  readonly ended: Promise<number | null>;

  constructor(file: string, args: string[], env: NodeJS.ProcessEnv) {
    this.child = spawn(process.execPath, [join(folder, file), ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    this.ended = once(this.child, 'close').then(([code]) => code as number | null);
    onTestFinished(() => void this.child.kill('SIGKILL'));
  }

  /** Its output without the log of the library. */
  get lines(): string[] {
    return this.output.split('\n').filter((line) => line !== '' && !line.startsWith('{"level"'));
  }

  async says(text: string | RegExp, withinMs = START_MS): Promise<void> {
    await expect.poll(() => this.output, { timeout: withinMs }).toMatch(text);
  }
}

/** Our own etcd, because examples use ordinary names without a prefix for tests. */
async function examples(): Promise<(name: string) => Program> {
  const etcd = await startEtcd();
  onTestFinished(() => etcd.stop());
  return (name) => new Program(`examples/${name}.mjs`, [], { ETCD_ENDPOINTS: etcd.endpoints.join() });
}

describe('examples/', () => {
  test('quick-start.ts: the first leads, the second follows, and leads after the first has left', async () => {
    const run = await examples();

    const first = run('quick-start');
    await first.says(/^leading, fencing token \d+$/m);
    const second = run('quick-start');
    await second.says(/^following \S+:\d+$/m); // the address and the process ID of the first
    first.child.kill('SIGKILL');

    await second.says(/^leading, fencing token \d+$/m, TTL_MS + SOON_MS);
    const token = (program: Program): number =>
      Number(/fencing token (\d+)$/m.exec(program.lines.join('\n'))?.[1]);
    expect(token(second)).toBeGreaterThan(token(first));
  });

  test('tutorial.ts: a clean shutdown hands over, and the next one writes under a larger token', async () => {
    const run = await examples();
    const first = run('tutorial');
    await first.says(/^step 1 under fencing token \d+$/m);
    const second = run('tutorial');
    await second.says(/^following \S+:\d+$/m);

    first.child.kill('SIGINT');

    expect(await first.ended).toBe(0);
    expect(first.lines.slice(-3)).toEqual([
      'work stopped',
      expect.stringMatching(/^following /),
      'shut down',
    ]);
    await second.says(/^step 1 under fencing token \d+$/m);
    second.child.kill('SIGTERM');
    expect(await second.ended).toBe(0);
  });

  test('graceful-shutdown.ts: finishes its work, and the next one leads at once', async () => {
    const run = await examples();
    const first = run('graceful-shutdown');
    await first.says('working');
    const second = run('graceful-shutdown');
    await second.says('place 2 in the queue');

    first.child.kill('SIGTERM');

    expect(await first.ended).toBe(0);
    expect(first.lines).toEqual(['working', 'work finished', 'shut down']);
    await second.says('working', SOON_MS);
  });

  test('graceful-shutdown.ts: a second SIGTERM does not kill it before it has handed over', async () => {
    const run = await examples();
    const program = run('graceful-shutdown');
    await program.says('working');

    program.child.kill('SIGTERM');
    await program.says('stopped leading', SOON_MS); // the work still runs, and the key is still there
    program.child.kill('SIGTERM');

    expect(await program.ended).toBe(0);
    expect(program.lines).toEqual(['working', 'work finished', 'shut down']);
  });

  test('fenced-writes.ts: writes of an earlier term are refused', async () => {
    const run = await examples();
    const program = run('fenced-writes');

    expect(await program.ended).toBe(0);
    expect(program.lines).toEqual([
      'saved',
      'withdrawn: true, again: false',
      'booked: booked',
      'the token has grown: true',
      'refused, the store has: whole',
      'refused: LeadershipLostError',
    ]);
  });

  test('many-elections.ts: one lease for all', async () => {
    const run = await examples();
    const program = run('many-elections');

    expect(await program.ended).toBe(0);
    expect(program.lines).toEqual(['leading 100 shards with 1 lease']);
  });

  test('observe.ts: prints the leader, also when there is none', async () => {
    const run = await examples();
    const observer = run('observe');
    await observer.says(/^nobody leads$/m);
    const leader = run('graceful-shutdown');
    await leader.says('working');
    await observer.says(/ leads, fencing token \d+$/m);
    leader.child.kill('SIGTERM');
    await observer.says(/^nobody leads\n.* leads, fencing token \d+\nnobody leads$/m);

    observer.child.kill('SIGINT');

    expect(await observer.ended).toBe(0);
  });

  test('loggers.ts: the lines have the formats of winston and the console', async () => {
    const run = await examples();
    const program = run('loggers');

    expect(await program.ended).toBe(0);
    const [json, plain] = [/^\{/, /^etcd-election: /].map((kind) =>
      program.lines.filter((line) => kind.test(line)),
    );
    const started = json!.map((line) => JSON.parse(line) as object);
    expect(started).toContainEqual(
      expect.objectContaining({
        level: 'info',
        event: 'term.started',
        message: expect.stringMatching(/^leading "with-winston"/),
      }),
    );
    expect(plain).toContainEqual(expect.stringMatching(/^etcd-election: leading "with-console"/));
    expect(program.output).not.toMatch(/^Trace|renewed/m);
  });

  test('recipes.ts: each recipe does what the reference says', async () => {
    const run = await examples();
    const program = run('recipes');

    expect(await program.ended).toBe(0);
    expect(program.lines).toEqual([
      'event: leading nightly-report: true',
      // The TTL less the margin is 9,000 ms. On a busy machine the line comes late.
      expect.stringMatching(/^current: true, at most (9000|[1-8]?\d{1,3}) ms left/),
      'lead returned 12',
      'event: leading sync-master: true',
      'leading 1 10.0.0.7 open',
      'true 1',
      'stop: closed',
      'ELECTION_CLOSED false',
    ]);
  });
});

describe('the demo', () => {
  test('succeeds, and has measured one leader at a time', async () => {
    const { program } = demo(['--only', 'resign,kill']);

    expect(await program.ended).toBe(0);
    expect(program.output).toMatch(/1 {2}\w+ resigns\./);
    expect(program.output).toMatch(/2 {2}\w+ is killed/);
    expect(program.output).toContain('At no instant did two replicas lead');
    expect(program.output).not.toContain('\u001B'); // no colours without a terminal
  });

  test('prints its result as JSON', async () => {
    const { program } = demo(['--only', 'resign', '--json']);

    expect(await program.ended).toBe(0);
    expect(JSON.parse(program.output)).toMatchObject({ handovers: [{ scene: 'resign' }], overlaps: 0 });
  });

  test('refuses unknown arguments', async () => {
    const { program } = demo(['--only', 'earthquake']);

    expect(await program.ended).toBe(2);
    expect(program.output).toContain('there is no scene "earthquake"');
  });

  test.for([
    ['SIGINT', 130],
    ['SIGKILL', null],
  ] as const)(
    'leaves no process or file after %s, even with a frozen replica',
    async ([signal, exitCode]) => {
      const { program, temporaryDir } = demo(['--only', 'freeze']);
      await program.says('is frozen', 2 * START_MS); // etcd and three replicas start first
      const children = childrenOf(program.child.pid ?? 0);
      expect(children.length).toBeGreaterThan(3); // at least etcd and three replicas

      program.child.kill(signal);

      expect(await program.ended).toBe(exitCode);
      await expect.poll(() => children.filter(isAlive)).toEqual([]);
      await expect.poll(() => readdirSync(temporaryDir)).toEqual([]);
    },
  );

  /** Runs it with its own etcd and its own temporary folder. */
  function demo(args: string[]) {
    const temporaryDir = mkdtempSync(join(folder, 'tmp-'));
    const program = new Program('demo/main.js', args, {
      ETCD_ENDPOINTS: '',
      TMPDIR: join(process.cwd(), temporaryDir),
    });
    return { program, temporaryDir };
  }
});

/** Process IDs as Linux reports them. */
function childrenOf(pid: number): number[] {
  const path = `/proc/${pid}/task/${pid}/children`;
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8').trim().split(' ').map(Number);
}

/** A process that has ended but whose exit code was not read is not alive. */
function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
