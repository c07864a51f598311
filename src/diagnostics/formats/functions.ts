import { type Folded, type Frame, functionKey, weightOf } from './folded.ts';

/** The cost of one function in a whole profile, by the last figure of the stacks. */
export interface FunctionCost {
  /** The function, with its hottest line. */
  readonly frame: Frame;
  /** Cost of the function itself. */
  readonly flat: number;
  /** Cost of the function and of everything that it called. */
  readonly cum: number;
}

/** @returns every function of the profile, ordered by `flat`, then by `cum`, then by name. Pure. */
export function functionCosts(folded: Folded): FunctionCost[] {
  const costs = new Map<string, { frame: Frame; hottest: number; flat: number; cum: number }>();
  for (const stack of folded.stacks) {
    const weight = weightOf(stack);
    const seen = new Set<string>(); // a recursive function counts once per stack
    for (const [depth, frame] of stack.frames.entries()) {
      const key = functionKey(frame);
      const cost = costs.get(key) ?? { frame, hottest: 0, flat: 0, cum: 0 };
      costs.set(key, cost);
      if (depth === 0) {
        cost.flat += weight;
        if (weight > cost.hottest) {
          cost.hottest = weight;
          cost.frame = frame;
        }
      }
      if (!seen.has(key)) cost.cum += weight;
      seen.add(key);
    }
  }
  return [...costs.values()]
    .sort((a, b) => b.flat - a.flat || b.cum - a.cum || (a.frame.name < b.frame.name ? -1 : 1))
    .map(({ frame, flat, cum }) => ({ frame, flat, cum }));
}
