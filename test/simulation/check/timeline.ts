/** A run for a human reader: faults, terms, errors and log lines, in order of time. */
import type { Fact } from '../inside/host.ts';
import type { World } from '../world/world.ts';

interface Line {
  readonly atMs: number;
  readonly text: string;
}

export function timeline(world: World): readonly string[] {
  const lines: Line[] = [];
  for (const { fromMs, toMs, what } of world.faults) {
    lines.push({ atMs: fromMs, text: `-- ${what}` });
    if (toMs - fromMs > SHORT_MS) lines.push({ atMs: toMs, text: `-- over: ${what}` });
  }
  for (const { process, atMs, fact } of world.record.told) {
    const said = wordsOf(fact);
    if (said !== undefined) lines.push({ atMs, text: `${process}  ${said}` });
  }
  for (const { process, atMs, level, text } of world.vitals.logs)
    lines.push({ atMs, text: `${process}  ${level}: ${text}` });
  const inOrder = lines.filter(({ atMs }) => Number.isFinite(atMs)).sort((a, b) => a.atMs - b.atMs);
  return inOrder.map(({ atMs, text }) => `${(atMs / 1000).toFixed(3).padStart(9)}  ${text}`);
}

const SHORT_MS = 5;

function wordsOf(fact: Fact): string | undefined {
  switch (fact.type) {
    case 'elected':
      return `leads with token ${fact.token}`;
    case 'ended':
      return `its term ${fact.token} ends: ${fact.because}`;
    case 'still-working':
      return `the work of term ${fact.token} has stopped`;
    case 'error':
    case 'campaign-ended':
      return `${fact.code}: ${fact.text}`;
    case 'left':
      return `has left (${fact.how})`;
    case 'appended':
      return fact.outcome === 'acknowledged'
        ? undefined
        : `append ${fact.counter} to ${fact.to}: ${fact.outcome}`;
    case 'stopped-late':
      return `the work of term ${fact.token} has stopped, late`;
    case 'seat-refused':
      return `its candidacy in ${fact.election} ends: ${fact.code}`;
    case 'stands':
    case 'resigns':
    case 'seat':
    case 'seat-stands':
    case 'sees':
    case 'acting':
    case 'append':
    case 'follower':
      return undefined;
  }
}
