/**
 * Where in the caller's code a call came from. An async CPU profile cannot tell, because `await` cuts the stack;
 * V8's own async stack, taken at the call, can.
 */
const FRAMES_KEPT = 6;

/** Taken before frames of Node and V8 themselves are left out, which tell nobody anything. */
const FRAMES_TAKEN = 12;

/** A function of ours that others call, as V8 finds it on the stack. */
export type PublicFunction = (...args: never[]) => unknown;

/** The stack above the last call of this function; empty where it is not on the stack. */
export function callSite(publicFunction: PublicFunction): readonly string[] {
  const trace: { stack?: string } = {};
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = FRAMES_TAKEN;
  Error.captureStackTrace(trace, publicFunction);
  Error.stackTraceLimit = stackTraceLimit;
  const stack = trace.stack ?? '';
  const known = seen.get(stack);
  if (known !== undefined) return known;
  const frames = framesOf(stack);
  if (seen.size < SITES_REMEMBERED) seen.set(stack, frames);
  return frames;
}

/** Ten thousand elections that are made in one place share what is said of it. */
const seen = new Map<string, readonly string[]>();
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
