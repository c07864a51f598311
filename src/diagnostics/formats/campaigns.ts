import type { GuardReport } from '../../index.ts';
import { type Folded, type Frame, frameOf } from './folded.ts';

/**
 * Folds the call sites of the loop guard into stacks, weighted by rounds and by delay. The stacks show which code starts
 * rounds, how often, and how long the guard made it wait. A CPU profile cannot show this, because `await` cuts the stack. The
 * outermost frame names the election. Pure.
 */
export const foldCampaigns = (guards: readonly GuardReport[], takenAt = 0): Folded => ({
  types: [
    { type: 'rounds', unit: 'count' },
    { type: 'delay', unit: 'nanoseconds' },
  ],
  stacks: guards.flatMap(({ election, callSites }) =>
    callSites.map(({ stack, rounds, heldMs }) => ({
      frames: [
        ...stack.map(parseCallSite),
        frameOf({ name: `election ${election}`, url: '', start: 0, line: 0 }),
      ],
      values: [rounds, heldMs * 1e6],
    })),
  ),
  durationMs: 0,
  takenAt,
});

/** Reads one line of a V8 stack trace: `at async retryLoop (file:///srv/sync.mjs:12:5)`, `at /srv/sync.mjs:3:1`. */
export function parseCallSite(line: string): Frame {
  const text = line
    .trim()
    .replace(/^at /, '')
    .replace(/^async /, '');
  const [, name = '', place = ''] =
    /^(.*?) \((.*)\)$/.exec(text) ?? (/:\d+:\d+$/.test(text) ? ['', '', text] : ['', text, '']);
  const [, url = place, at = '0'] = /^(.*?):(\d+)(?::\d+)?$/.exec(place) ?? [];
  return frameOf({ name, url, start: Number(at), line: Number(at) });
}
