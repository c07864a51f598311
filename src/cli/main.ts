/**
 * The command line: which command, and what its errors look like. Each command is loaded only when it is called.
 */
import { readFileSync } from 'node:fs';
import { commonHelp, UsageError } from './arguments.ts';
import { EXIT } from './exit-codes.ts';
import { messageOf } from './plain-error.ts';
import { paletteFor, print, printable, type Terminal } from './terminal.ts';

interface Command {
  readonly summary: string;
  readonly load: () => Promise<{
    readonly run: (args: readonly string[], terminal: Terminal) => Promise<number>;
    /** Where missing, the command prints its own help. */
    readonly usage?: string;
  }>;
}

const commands: Readonly<Record<string, Command>> = {
  run: {
    summary: 'run a command, only while we lead',
    load: async () => {
      const { run, usage } = await import('./run.ts');
      return { run, usage };
    },
  },
  status: {
    summary: 'who leads, who waits, how long their leases last',
    load: async () => {
      const { status, usage } = await import('./status.ts');
      return { run: status, usage };
    },
  },
  watch: {
    summary: 'a line for every change of the leader',
    load: async () => {
      const { watch, usage } = await import('./watch.ts');
      return { run: watch, usage };
    },
  },
  evict: {
    summary: "end the leader's term",
    load: async () => {
      const { evict, usage } = await import('./evict.ts');
      return { run: evict, usage };
    },
  },
  doctor: {
    summary: 'is this etcd fit for elections? What is wrong, what to do',
    load: async () => {
      const { doctor, usage } = await import('./doctor.ts');
      return { run: doctor, usage };
    },
  },
  profile: {
    summary: 'a CPU profile of a running service',
    load: async () => {
      const { profile } = await import('./profile.ts');
      return { run: profile };
    },
  },
  demo: {
    summary: 'three replicas and some mishaps on an etcd of its own',
    load: async () => {
      const { demo } = await import('./demo.ts');
      return { run: demo };
    },
  },
};

const help: string = `Usage: etcd-election COMMAND …

${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(8)} ${summary}`)
  .join('\n')}

etcd-election COMMAND --help says more. --version prints the version.`;

/** @returns the exit code. */
export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined) return complain(terminal, help);
  if (['help', '--help', '-h'].includes(name)) return answer(terminal, help);
  if (['--version', '-v'].includes(name)) return answer(terminal, version());
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined)
    return complain(terminal, `etcd-election: no command ${JSON.stringify(name)}\n\n${help}`);
  try {
    const { run, usage } = await command.load();
    const own = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest;
    if (usage !== undefined && own.some((word) => word === '--help' || word === '-h'))
      return answer(terminal, `${usage}\n\n${commonHelp}`);
    return await run(rest, terminal);
  } catch (error) {
    const { bad } = paletteFor(terminal.stderr, terminal.env);
    print(terminal.stderr, bad(`etcd-election ${name}: ${printable(messageOf(error))}`));
    return error instanceof UsageError ? EXIT.usage : EXIT.failed;
  }
}

function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

function answer(terminal: Terminal, text: string): number {
  print(terminal.stdout, text);
  return EXIT.ok;
}

function complain(terminal: Terminal, text: string): number {
  print(terminal.stderr, text);
  return EXIT.usage;
}
