#!/usr/bin/env node
/** The command `etcd-election`. */
import { becomeInit } from './init.ts';
import { main } from './main.ts';

becomeInit();
process.stdout.on('error', () => undefined); // whoever read it has gone, as `| head` does: no reason to crash
const exitCode = await main(process.argv.slice(2), process);
// Not left to itself: after a refused watch etcd3 goes on asking, even when its client is closed.
process.stdout.write('', () => process.exit(exitCode));
