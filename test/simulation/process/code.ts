/**
 * The code of a world's processes, and the running process. Processes share a context with functions and
 * classes. Each has its own globals and module variables, which are in place while it runs.
 */
import vm from 'node:vm';
import type { HostApi, Program } from '../inside/host.ts';
import { currentHost } from './current-host.ts';
import type { Shared } from './own-variables.ts';

/** The `globalThis` of one process. */
export type Globals = { readonly simulation: HostApi; program?: Program };

/** Node's own objects that depend on nothing outside. */
const borrowed = { Buffer, Uint8Array, TextDecoder, TextEncoder };

const INTRINSICS =
  'Object.fromEntries(Object.getOwnPropertyNames(globalThis).map((name) => [name, globalThis[name]]))';

/** How the code of processes runs. Neither option changes a run. */
export interface CodeOptions {
  /** Every process gets its own context with its own functions and classes: slow, but certainly isolated. */
  readonly isApart?: boolean;
  /** Errors have stack traces. Each costs some microseconds, and a process makes a hundred a second. */
  readonly hasStacks?: boolean;
}

/** Runs the microtasks of a context. */
const drain = new vm.Script('0', { filename: 'drain.js' });

export class Code {
  readonly #script: vm.Script;
  readonly #options: CodeOptions;
  #room: Room | undefined;

  constructor(source: string, options: CodeOptions = {}) {
    this.#script = new vm.Script(source, { filename: 'simulated-process.js' });
    this.#options = options;
  }

  /** A run was aborted and its microtasks are pending: the next run uses another context. */
  abandon(): void {
    this.#room = undefined;
  }

  /** The place of a new process. */
  room(): Room {
    const { isApart = false, hasStacks = false } = this.#options;
    const make = (): Room => new Room(this.#script, hasStacks);
    return isApart ? make() : (this.#room ??= make());
  }
}

/** One of the processes of a room. */
export interface Tenant {
  readonly host: HostApi;
  readonly globals: Globals;
  variables: unknown[] | undefined;
}

/** A context, and the processes that run in it one at a time. */
export class Room {
  readonly #context = vm.createContext({ ...borrowed }, { microtaskMode: 'afterEvaluate' });
  readonly #host = currentHost();
  readonly #intrinsics: object;
  readonly #shared: Shared;
  #present: Tenant | undefined;

  constructor(script: vm.Script, hasStacks: boolean) {
    const intrinsics = vm.runInContext(INTRINSICS, this.#context) as { readonly Error: ErrorConstructor };
    if (!hasStacks) intrinsics.Error.stackTraceLimit = 0;
    this.#intrinsics = Object.assign(intrinsics, { simulation: this.#host.api });
    const factory = script.runInContext(this.#context) as (globals: object) => Shared;
    this.#shared = factory(this.#intrinsics);
  }

  /** @param host everything that the process can reach. */
  admit(host: HostApi): Tenant {
    return { host, globals: Object.create(this.#intrinsics) as Globals, variables: undefined };
  }

  /** Evaluates the modules of a process. It must be called in {@link run}. */
  begin(tenant: Tenant): void {
    this.#shared.begin(tenant.globals);
    tenant.variables = this.#shared.save();
  }

  /** Runs a callback of a process, and the resulting microtasks. */
  run(tenant: Tenant, callback: () => void): void {
    if (tenant !== this.#present) this.#enter(tenant);
    callback();
    drain.runInContext(this.#context);
  }

  #enter(tenant: Tenant): void {
    if (this.#present?.variables !== undefined) this.#shared.note(this.#present.variables);
    this.#present = tenant;
    this.#host.enter(tenant.host);
    if (tenant.variables !== undefined) this.#shared.load(tenant.globals, tenant.variables);
  }
}
