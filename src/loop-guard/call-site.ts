/**
 * Finds the place in the caller's code from which a call came. V8's async stack, taken at the call, contains that
 * place. A CPU profile does not, because `await` cuts the stack.
 */

/** How many frames of a call site are kept. */
const FRAMES_KEPT = 6;

/** How many frames are taken before those of Node and V8 are removed. */
const FRAMES_TAKEN = 12;

export type PublicFunction = (...args: never[]) => unknown;

/** A public function that is on the stack, or its call site, taken while it was on the stack. */
export type CalledFrom = PublicFunction | readonly string[];

/** The stack above the last call of this function; empty if the function is not on the stack. */
export function callSite(calledFrom: CalledFrom): readonly string[] {
  if (typeof calledFrom !== 'function') return calledFrom;
  const stack = stackAbove(calledFrom);
  const known = parsedStacks.get(stack);
  if (known !== undefined) return known;
  const frames = framesOf(stack);
  if (parsedStacks.size < SITES_REMEMBERED) parsedStacks.set(stack, frames);
  return frames;
}

/**
 * The stack above the function, as text. Empty if the program has frozen `Error`, or if its `Error.prepareStackTrace`
 * returns no text.
 */
function stackAbove(publicFunction: PublicFunction): string {
  const trace: { stack?: unknown } = {};
  try {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = FRAMES_TAKEN;
    try {
      Error.captureStackTrace(trace, publicFunction);
      return typeof trace.stack === 'string' ? trace.stack : '';
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  } catch {
    return '';
  }
}

const parsedStacks = new Map<string, readonly string[]>();
const SITES_REMEMBERED = 256;

const framesOf = (stack: string): readonly string[] =>
  stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .filter((line) => !/node:internal|\(<anonymous>\)$/.test(line))
    .slice(0, FRAMES_KEPT)
    .map((line) =>
      line
        .trim()
        .replace(/^at /, '')
        .replace(/^async /, ''),
    );
