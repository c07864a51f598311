/** Processes that share functions and classes share no state. */
import { expect, it } from 'vitest';
import type { HostApi } from '../inside/host.ts';
import { Code, type Room, type Tenant } from './code.ts';
import { watched } from './microtasks.ts';
import { GLOBALS, withOwnVariables } from './own-variables.ts';

/** In the form of an esbuild bundle. */
const SOURCE = `
// node_modules/package/index.js
var loaded = 0;
loaded++;

// src/module.ts
var Thing = class {
  #count = 0;
  next() { return ++this.#count; }
};
var Base = class {
  static code;
};
var Derived = class extends Base {
  static code = 'fixed';
};
var Tally = class _Tally {
  static all = [];
  static add() { return _Tally.all.push(1); }
};
var LIMIT = 3;
var seen = new Map();
var only = new Thing();
var count = 0;
var { pid } = ${GLOBALS}.simulation;
function next() {
  const local = { count: 7 };
  count += LIMIT;
  seen.set(count, local);
  return { count, seen: seen.size, only: only.next(), all: Tally.add(), pid, loaded, Thing };
}
${GLOBALS}.program = { next };
`;

interface Next {
  readonly count: number;
  readonly seen: number;
  readonly only: number;
  readonly all: number;
  readonly pid: number;
  readonly loaded: number;
  readonly Thing: unknown;
}

function begun(room: Room, pid: number): () => Next {
  const tenant: Tenant = room.admit({ pid } as HostApi);
  room.run(tenant, () => room.begin(tenant));
  const { next } = tenant.globals.program as unknown as { readonly next: () => Next };
  return () => {
    let result: Next | undefined;
    room.run(tenant, () => {
      result = next();
    });
    return result!;
  };
}

it('each process has its own module variables', () => {
  const code = new Code(withOwnVariables(SOURCE));
  const first = begun(code.room(), 1);
  const second = begun(code.room(), 2);
  expect(first()).toMatchObject({ count: 3, seen: 1, only: 1, all: 1, pid: 1, loaded: 1 });
  expect(second()).toMatchObject({ count: 3, seen: 1, only: 1, all: 1, pid: 2, loaded: 1 });
  expect(first()).toMatchObject({ count: 6, seen: 2, only: 2, pid: 1, loaded: 1 });
  expect(begun(code.room(), 3)()).toMatchObject({ count: 3, seen: 1, only: 1, pid: 3 });
  expect(second()).toMatchObject({ count: 6, seen: 2, only: 2, pid: 2, loaded: 1 });
});

it('processes share classes, unless each has its own context', () => {
  const isShared = (code: Code): boolean => begun(code.room(), 1)().Thing === begun(code.room(), 2)().Thing;
  expect(isShared(new Code(withOwnVariables(SOURCE)))).toBe(true);
  expect(isShared(new Code(withOwnVariables(SOURCE), { isApart: true }))).toBe(false);
});

it('a process that spins in microtasks is aborted, and the next one runs', () => {
  const code = new Code(
    withOwnVariables(`
// src/module.ts
async function spin() { for (;;) await null; }
${GLOBALS}.program = { next: () => void spin() };
`),
  );
  const spinning = begun(code.room(), 1);
  expect(watched<unknown>(spinning, () => 'it spins', 200)).toBe('it spins');
  code.abandon();
  const calm = code.room();
  const tenant = calm.admit({ pid: 2 } as HostApi);
  calm.run(tenant, () => calm.begin(tenant));
  expect(tenant.globals.program).toBeDefined();
});
