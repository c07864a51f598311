/**
 * Where in the caller's code a call came from. An async CPU profile cannot tell, because `await` cuts the stack;
 * V8's own async stack, taken at the call, can.
 */
const FRAMES_KEPT = 6;

/** Taken before frames of Node itself are left out, which tell nobody anything. */
const FRAMES_TAKEN = 12;

/**
 * @param own how many frames above this function are ours, and are left out: 1 where the public function itself asks
 *   whose caller is wanted, one more for each function of ours between.
 */
export function callSite(own = 1): readonly string[] {
  const trace: { stack?: string } = {};
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = FRAMES_TAKEN;
  Error.captureStackTrace(trace, callSite);
  Error.stackTraceLimit = stackTraceLimit;
  const stack = trace.stack ?? '';
  const known = seen.get(stack);
  if (known !== undefined) return known;
  const frames = framesOf(stack, own);
  if (seen.size < SITES_REMEMBERED) seen.set(stack, frames);
  return frames;
}

/** Ten thousand elections that are made in one place share what is said of it. */
const seen = new Map<string, readonly string[]>();
const SITES_REMEMBERED = 256;

const framesOf = (stack: string, own: number): readonly string[] =>
  stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(own)
    .filter((line) => !line.includes('node:internal'))
    .slice(0, FRAMES_KEPT)
    .map((line) =>
      line
        .trim()
        .replace(/^at /, '')
        .replace(/^async /, ''),
    );
