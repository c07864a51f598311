import { type Folded, type Frame, functionKey, weightOf } from './folded.ts';

export interface Box {
  /** undefined for the whole profile. */
  readonly frame: Frame | undefined;
  /** 0 for the whole profile. A function is one deeper than its caller. */
  readonly depth: number;
  /** Left edge and width, as shares of the whole, 0–1. */
  readonly left: number;
  readonly width: number;
  /** Cost of this function, on this stack, and of everything that it called. */
  readonly weight: number;
  /** Cost of this function itself, on this stack. */
  readonly self: number;
}

export interface Layout {
  /** Callers before the functions that they call, and left boxes before right ones. */
  readonly boxes: readonly Box[];
  readonly rows: number;
  readonly total: number;
  /** How many boxes are left out, because they are too narrow. Boxes below a hidden box do not count. */
  readonly hidden: number;
}

interface Branch {
  frame: Frame | undefined;
  weight: number;
  self: number;
  calls: Map<string, Branch>;
}

/**
 * Merges the stacks into a tree, and gives every branch its position. Siblings are ordered by name, so that two graphs of one
 * service can be compared. Pure.
 *
 * @param atMost how many boxes. The narrowest are left out first. Default: 4000, about 1 MB of page.
 */
export function layout(folded: Folded, atMost = 4000): Layout {
  const root = treeOf(folded);
  const narrowest = narrowestOf(root, atMost);
  const boxes: Box[] = [];
  let hidden = 0;
  // Not recursive, because a stack may be as deep as V8 allows.
  const todo = [{ branch: root, depth: 0, left: 0 }];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const { branch, depth, left } = next;
    const share = (weight: number): number => (root.weight === 0 ? 1 : weight / root.weight);
    boxes.push({
      frame: branch.frame,
      depth,
      left,
      width: share(branch.weight),
      weight: branch.weight,
      self: branch.self,
    });
    const calls = [...branch.calls.values()].sort((a, b) =>
      (a.frame?.name ?? '') < (b.frame?.name ?? '') ? -1 : 1,
    );
    let at = left;
    const shown = [];
    for (const call of calls) {
      if (call.weight > narrowest) shown.push({ branch: call, depth: depth + 1, left: at });
      else hidden++;
      at += share(call.weight);
    }
    todo.push(...shown.reverse());
  }
  return {
    boxes,
    rows: boxes.reduce((rows, { depth }) => Math.max(rows, depth + 1), 0),
    total: root.weight,
    hidden,
  };
}

function treeOf(folded: Folded): Branch {
  const root: Branch = { frame: undefined, weight: 0, self: 0, calls: new Map() };
  for (const stack of folded.stacks) {
    const weight = weightOf(stack);
    if (weight <= 0) continue;
    root.weight += weight;
    let branch = root;
    for (const frame of stack.frames.toReversed()) {
      const key = functionKey(frame);
      const call = branch.calls.get(key) ?? { frame, weight: 0, self: 0, calls: new Map<string, Branch>() };
      branch.calls.set(key, call);
      call.weight += weight;
      branch = call;
    }
    branch.self += weight;
  }
  return root;
}

/**
 * The weight up to which boxes are left out, so that at most `atMost` remain. No box weighs more than its caller, so every
 * remaining box keeps its caller.
 */
function narrowestOf(root: Branch, atMost: number): number {
  const weights: number[] = [];
  const todo = [root];
  for (let branch = todo.pop(); branch !== undefined; branch = todo.pop()) {
    weights.push(branch.weight);
    for (const call of branch.calls.values()) todo.push(call);
  }
  return weights.length <= atMost ? 0 : (weights.sort((a, b) => b - a)[atMost] ?? 0);
}
