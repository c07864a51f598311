/**
 * Splits the bundle of a process into a shared part and a part for each process. Functions and classes are
 * shared, so that V8 learns and compiles them once. Modules also have state: counters, maps, WeakMaps. The
 * statements that create it run again for every process, and its variables are swapped whenever another process
 * runs. In a separate context each process would start without compiled code.
 */
import { parseSync, type Statement, type VariableDeclarator } from 'oxc-parser';

/** The name of `globalThis` in the bundle: an object of each process. */
export const GLOBALS = 'globalsOfProcess';

type Node = { readonly type: string; readonly start: number; readonly end: number } & Record<string, unknown>;

/** esbuild's comment at the start of a module. */
const HEADER = /^\s(\S+\.\w+)$/;
/** Replacements of Node's modules and of packages keep no state. */
const OWN_MODULES = /^(?:src\/|test\/simulation\/inside\/\w+\.ts$)/;

/**
 * @param text a bundle of modules without exports.
 * @returns the source of a function that makes a {@link Shared}.
 */
export function withOwnVariables(text: string): string {
  const { program, comments } = parseSync('bundle.js', text, { sourceType: 'module' });
  const headers = comments.flatMap(({ value, start }) => {
    const path = HEADER.exec(value)?.[1];
    return path !== undefined && (start === 0 || text[start - 1] === '\n') ? [{ path, start }] : [];
  });
  const moduleOf = ({ start }: Statement): string =>
    headers.findLast((header) => header.start < start)?.path ?? '';
  const wrapped = new Set(program.body.filter(isWrapper).map(moduleOf));
  const changing = assignedIn(program as unknown as Node);
  const names: string[] = [];
  const shared: string[] = [];
  const own: string[] = [];
  for (const statement of program.body) {
    const module = moduleOf(statement);
    const source = text.slice(statement.start, statement.end);
    if (!OWN_MODULES.test(module) || wrapped.has(module) || isShared(statement, changing))
      shared.push(source);
    else if (statement.type !== 'VariableDeclaration') own.push(source);
    else
      for (const declarator of statement.declarations) {
        names.push(...namesIn(declarator.id as unknown as Node));
        own.push(assignment(declarator, text));
      }
  }
  return factory({ names, shared, own, changing });
}

/**
 * `var init_x = __esm(...)`: a module that CommonJS requires. It is evaluated once, so it must not keep state of
 * a process.
 */
const isWrapper = (statement: Statement): boolean =>
  statement.type === 'VariableDeclaration' &&
  statement.declarations.some(({ init }) => isCallOf(init, /^__esm$/));

const isCallOf = (node: unknown, name: RegExp): boolean => {
  const { type, callee } = (node ?? {}) as { type?: string; callee?: { name?: string } };
  return type === 'CallExpression' && name.test(callee?.name ?? '');
};

function isShared(statement: Statement, changing: ReadonlySet<string>): boolean {
  if (statement.type === 'FunctionDeclaration' || statement.type === 'ClassDeclaration') return true;
  if (statement.type === 'ExpressionStatement') return isCallOf(statement.expression, /^(?:init|require)_/);
  return (
    statement.type === 'VariableDeclaration' &&
    statement.declarations.every(
      ({ id, init }) =>
        id.type === 'Identifier' && !changing.has(id.name) && isFixed(init as unknown as Node),
    )
  );
}

/** Whether a value is the same for all processes, and never changes. */
function isFixed(init: Node | null): boolean {
  switch (init?.type ?? '') {
    case 'ArrowFunctionExpression':
    case 'FunctionExpression':
      return true;
    case 'ClassExpression':
      return (init!['body'] as { body: Node[] }).body.every(isWithoutState);
    case 'Literal':
      return !/[gy]/.test((init!['regex'] as { flags: string } | undefined)?.flags ?? '');
    case 'TemplateLiteral':
      return (init!['expressions'] as unknown[]).length === 0;
    case 'BinaryExpression':
      return isFixed(init!['left'] as Node) && isFixed(init!['right'] as Node);
    default:
      return isCallOf(init, /^__toESM$/);
  }
}

/** Whether a class member is anything but a static field, which each process needs for itself. */
const isWithoutState = ({ type, static: isStatic, value }: Node): boolean =>
  type !== 'PropertyDefinition' || isStatic !== true || value === null || isFixed(value as Node);

/** All names that an assignment anywhere in the bundle changes. */
function assignedIn(program: Node): ReadonlySet<string> {
  const names = new Set<string>();
  visit(program, (node) => {
    const target = {
      AssignmentExpression: 'left',
      UpdateExpression: 'argument',
      ForOfStatement: 'left',
      ForInStatement: 'left',
    }[node.type];
    if (target !== undefined) for (const name of namesIn(node[target] as Node)) names.add(name);
  });
  return names;
}

function visit(node: Node, seen: (node: Node) => void): void {
  if (typeof node.type === 'string') seen(node);
  for (const child of Object.values(node))
    if (typeof child === 'object' && child !== null) visit(child as Node, seen);
}

/** The names that a declaration or an assignment sets. */
function namesIn(pattern: Node): readonly string[] {
  const parts = (of: unknown): readonly string[] =>
    (of as (Node | null)[]).flatMap((one) => (one === null ? [] : namesIn(one)));
  switch (pattern.type) {
    case 'Identifier':
      return [pattern['name'] as string];
    case 'ObjectPattern':
      return parts(pattern['properties']);
    case 'ArrayPattern':
      return parts(pattern['elements']);
    case 'Property':
      return namesIn(pattern['value'] as Node);
    case 'AssignmentPattern':
      return namesIn(pattern['left'] as Node);
    case 'RestElement':
      return namesIn(pattern['argument'] as Node);
    case 'VariableDeclaration': // of a loop
      return parts((pattern['declarations'] as Node[]).map(({ id }: Node & { id?: unknown }) => id));
    default:
      return [];
  }
}

function assignment({ id, init }: VariableDeclarator, text: string): string {
  const target = text.slice(id.start, id.end);
  return `(${target} = ${init === null ? 'undefined' : text.slice(init.start, init.end)});`;
}

/** The result of the source. Its functions belong to the context in which it runs. */
export interface Shared {
  /** Starts a process: makes its variables, and runs its program. */
  begin(globals: object): void;
  /** @returns the variables of the present process. */
  save(): unknown[];
  /** Records the variables that may have changed. */
  note(variables: unknown[]): void;
  load(globals: object, variables: readonly unknown[]): void;
}

interface Parts {
  readonly names: readonly string[];
  readonly shared: readonly string[];
  readonly own: readonly string[];
  readonly changing: ReadonlySet<string>;
}

const factory = ({ names, shared, own, changing }: Parts): string => `(function (${GLOBALS}) {
'use strict';
${names.map((name) => `var ${name};`).join(' ')}
${shared.join('\n')}
return {
  begin: (globals) => {
    ${GLOBALS} = globals;
${own.join('\n')}
  },
  save: () => [${names.join(', ')}],
  note: (variables) => {
${names.map((name, index) => (changing.has(name) ? `variables[${index}] = ${name};` : '')).join('')}
  },
  load: (globals, variables) => {
    ${GLOBALS} = globals;
${names.map((name, index) => `${name} = variables[${index}];`).join('')}
  },
};
})`;
