/** The examples in folders, each run as a process on the real etcd. */
import { beforeAll, expect } from 'vitest';
import { compile, Program } from './programs.ts';
import { TTL_SECONDS } from './world.ts';

export const START_MS = 20_000;

export type Run<Name extends string> = (
  name: Name,
  env?: NodeJS.ProcessEnv,
  args?: readonly string[],
) => Program;

/** Compiles the examples before the tests of the present file. Examples use ordinary names; here each test has its own. */
export function exampleRunner<Name extends string>(
  names: readonly Name[],
): (etcd: { endpoints: readonly string[] }, prefix: string) => Run<Name> {
  let files: Record<Name, string>;
  beforeAll(async () => {
    const compiled = await compile(names.map((name) => `examples/${name}.ts`));
    files = Object.fromEntries(names.map((name, index) => [name, compiled[index]!])) as Record<Name, string>;
  });
  return (etcd, prefix) =>
    (name, env = {}, args = []) =>
      new Program(files[name], args, {
        env: {
          ETCD_ENDPOINTS: etcd.endpoints.join(),
          ELECTION: prefix.replace('/', ''),
          TTL_SECONDS: String(TTL_SECONDS),
          PORT: '0',
          KEYS: prefix,
          ...env,
        },
      });
}

export async function end(...programs: Program[]): Promise<void> {
  for (const program of programs) program.child.kill('SIGTERM');
  for (const program of programs) expect(await program.exit(), program.said).toBe(0);
}
