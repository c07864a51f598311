/**
 * Selects the command and prints its errors. A command is loaded only when it is called.
 */
import { existsSync, readFileSync } from 'node:fs';
import { commonHelp, UsageError } from './arguments.ts';
import type { Completable } from './completion.ts';
import { EXIT } from './exit-codes.ts';
import { ExplainedError, plain } from './plain-error.ts';
import { paletteFor, print, safe, SafeText, wrapped, type Terminal } from './terminal.ts';

interface Command {
  readonly summary: string;
  readonly load: () => Promise<{
    readonly run: (args: readonly string[], terminal: Terminal) => Promise<number>;
    /** The help text. If it is missing, the command prints its own. */
    readonly usage?: string;
  }>;
}

const commands: Readonly<Record<string, Command>> = {
  run: {
    summary: 'run a command only while this replica leads',
    load: async () => {
      const { run, usage } = await import('./run/run.ts');
      return { run, usage: `${usage}\n\n${commonHelp}` };
    },
  },
  status: {
    summary: 'show the leader, the candidates, and how long their leases last',
    load: async () => {
      const { status, usage } = await import('./status.ts');
      return { run: status, usage: `${usage}\n\n${commonHelp}` };
    },
  },
  watch: {
    summary: 'print a line for every change of the leader',
    load: async () => {
      const { watch, usage } = await import('./watch.ts');
      return { run: watch, usage: `${usage}\n\n${commonHelp}` };
    },
  },
  evict: {
    summary: "end the leader's term",
    load: async () => {
      const { evict, usage } = await import('./evict.ts');
      return { run: evict, usage: `${usage}\n\n${commonHelp}` };
    },
  },
  doctor: {
    summary: 'check whether this etcd is fit for elections, and say what to do',
    load: async () => {
      const { doctor, usage } = await import('./doctor/doctor.ts');
      return { run: doctor, usage: `${usage}\n\n${commonHelp}` };
    },
  },
  profile: {
    summary: 'record a CPU profile of a running service',
    load: async () => {
      const { profile, usage } = await import('./profile.ts');
      return { run: profile, usage };
    },
  },
  completion: {
    summary: 'print a script for bash, zsh or fish that completes commands and flags',
    load: async () => {
      const { completion, usage } = await import('./completion.ts');
      return {
        run: async (args, terminal) => completion(args, await completables(), terminal),
        usage,
      };
    },
  },
  demo: {
    summary: 'show how three replicas survive faults',
    load: async () => {
      const { demo } = await import('./demo.ts');
      return { run: demo };
    },
  },
};

/** The flags of the demo, which prints its own help. */
const DEMO_FLAGS = ['--only', '--json', '--verbose', '--help'];

async function completables(): Promise<Completable[]> {
  const { flagsOf } = await import('./completion.ts');
  return await Promise.all(
    Object.entries(commands).map(async ([name, { summary, load }]) => {
      const { usage } = await load();
      return { name, summary, flags: usage === undefined ? DEMO_FLAGS : flagsOf(`${usage} --help`) };
    }),
  );
}

const help: string = `Usage: etcd-election COMMAND …

${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`)
  .join('\n')}

Run etcd-election help COMMAND for details. -V or --version prints the version.`;

export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  const [first, ...rest] = args;
  if (first === undefined) return complain(terminal, help);
  if (['--version', '-V', '-v'].includes(first)) return answer(terminal, version());
  const asksForHelp = ['help', '--help', '-h'].includes(first);
  const name = asksForHelp ? rest[0] : first;
  if (name === undefined) return answer(terminal, help);
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    print(terminal.stderr, safe`etcd-election: unknown command ${JSON.stringify(name)}`);
    print(terminal.stderr, safe``);
    return complain(terminal, help);
  }
  try {
    const { run, usage } = await command.load();
    const own = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest;
    if (asksForHelp || own.some((word) => word === '--help' || word === '-h'))
      return usage === undefined ? await run(['--help'], terminal) : answer(terminal, usage);
    return await run(rest, terminal);
  } catch (error) {
    const { bad } = paletteFor(terminal.stderr, terminal.env);
    const isUsage = error instanceof UsageError;
    const message = error instanceof ExplainedError ? error.message : plain(error);
    const more = isUsage ? `; see etcd-election help ${name}` : '';
    print(terminal.stderr, bad(`etcd-election ${name}: ${message}${more}`));
    return isUsage ? EXIT.usage : EXIT.failed;
  }
}

/** Reads the version from the nearest package.json above this file. Its distance differs between source and bundle. */
function version(folder = new URL('.', import.meta.url)): string {
  const file = new URL('package.json', folder);
  if (existsSync(file)) return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
  const above = new URL('..', folder);
  return above.href === folder.href ? 'unknown' : version(above);
}

function answer(terminal: Terminal, text: string): number {
  print(terminal.stdout, SafeText.ofOurs(wrapped(text, terminal.stdout.columns)));
  return EXIT.ok;
}

function complain(terminal: Terminal, text: string): number {
  print(terminal.stderr, SafeText.ofOurs(text));
  return EXIT.usage;
}
