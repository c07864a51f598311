/** The command as a process, as people run it. It is compiled before the tests of the file that imports this one. */
import { beforeAll } from 'vitest';
import { compile, Program, type ProgramOptions } from './programs.ts';

/** Includes the start of a Node process on a busy machine. */
export const START_MS = 15_000;

let bin: string;
beforeAll(async () => {
  [bin] = (await compile(['src/cli/bin.ts'])) as [string];
});

/** Path of the compiled command, once the tests run. */
export const commandPath = (): string => bin;

export const etcdElection = (
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  options: ProgramOptions = {},
): Program => new Program(bin, args, { ...options, env });

/** Its connection and prefix come from the environment. */
export const cli =
  (endpoints: readonly string[], prefix: string) =>
  (args: readonly string[], options: ProgramOptions = {}): Program => {
    const [command, ...rest] = args;
    return etcdElection(
      [command!, '--prefix', prefix, ...rest],
      { ETCDCTL_ENDPOINTS: endpoints.join() },
      options,
    );
  };

export const json = (program: Program): Record<string, unknown> =>
  JSON.parse(program.stdout) as Record<string, unknown>;
