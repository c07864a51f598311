#!/usr/bin/env node
/** The command `etcd-election`. */
import { EXIT } from './exit-codes.ts';
import { becomeInit } from './run/init.ts';
import { guardInspector, INSPECTOR_GUARD } from './inspector-guard.ts';
import { main } from './main.ts';

const exitCode = await becomeInit();
if (exitCode !== undefined) process.exit(exitCode);
const [, , word, ...operands] = process.argv;
if (word === INSPECTOR_GUARD) await guardInspector(Number(operands[0]), Number(operands[1]), process.stdin);
else await command();

async function command(): Promise<void> {
  let broken: NodeJS.ErrnoException | undefined;
  process.stdout.on('error', (error) => (broken = error));
  process.stderr.on('error', () => undefined); // there is nowhere to report it
  const { stdout, stderr, stdin } = process;
  // A copy, because variables that we set must not reach the command of `run`.
  let code = await main(process.argv.slice(2), {
    env: { ...process.env },
    stdout,
    stderr,
    stdin,
    self: process.argv[1],
  });
  await new Promise<void>((resolve) => stdout.write('', () => resolve()));
  await new Promise((resolve) => setImmediate(resolve)); // an error of the last write arrives now
  if (broken !== undefined) {
    // EPIPE needs no message: the reader has closed the pipe, as `| head` does.
    if (broken.code !== 'EPIPE') stderr.write(`etcd-election: cannot write: ${broken.message}\n`);
    if (code === 0) code = EXIT.failed;
  }
  // Exits explicitly, because etcd3 retries a refused watch even after its client is closed.
  stderr.write('', () => process.exit(code));
}
