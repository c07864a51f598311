#!/usr/bin/env node
/** The command `etcd-election`. */
import { becomeInit } from './init.ts';
import { main } from './main.ts';

becomeInit();
process.exitCode = await main(process.argv.slice(2), process);
