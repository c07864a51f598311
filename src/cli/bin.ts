#!/usr/bin/env node
/** The command `etcd-election`. */
import { guard, GUARDIAN } from './guardian.ts';
import { becomeInit } from './init.ts';
import { main } from './main.ts';

const exitCode = await becomeInit();
if (exitCode !== undefined) process.exit(exitCode);
if (process.argv[2] === GUARDIAN) guard(process.stdin, () => process.exit());
else await command();

async function command(): Promise<void> {
  process.stdout.on('error', () => undefined); // whoever read it has gone, as `| head` does: no reason to crash
  const code = await main(process.argv.slice(2), process);
  // Not left to itself: after a refused watch etcd3 goes on asking, even when its client is closed.
  process.stdout.write('', () => process.exit(code));
}
