import type { ElectionView, Snapshot } from '../elections.ts';
import { type Reply, text } from './rules.ts';

export interface HealthDocument {
  /** False if the event loop does not turn, or if an election is unhealthy. Then the status is 503. */
  readonly healthy: boolean;
  /** Whether the main thread's event loop turns. */
  readonly turning: boolean;
  readonly elections: readonly ElectionHealthView[];
}

export type ElectionHealthView = Pick<ElectionView, 'name' | 'prefix' | 'state' | 'health'>;

/** Pure. */
export const healthDocument = ({ elections }: Snapshot, turning: boolean): HealthDocument => ({
  healthy: turning && elections.every(({ health }) => health.healthy),
  turning,
  elections: elections.map(({ name, prefix, state, health }) => ({ name, prefix, state, health })),
});

/**
 * The reply of `/healthz`. Pure.
 *
 * @param isOpen whether to show the elections. A probe without the token sees the verdict, and in JSON also `turning`.
 */
export function healthReply(document: HealthDocument, isOpen: boolean, asJson: boolean): Reply {
  const { healthy, turning, elections } = document;
  const status = healthy ? 200 : 503;
  const verdict = healthy ? 'ok' : 'not ok';
  if (asJson)
    return {
      status,
      headers: { 'content-type': 'application/json; charset=utf-8' },
      body: `${JSON.stringify(isOpen ? document : { healthy, turning })}\n`,
    };
  const lines = isOpen
    ? [...(turning ? [] : ['the main thread does not answer']), ...elections.map(line)]
    : [];
  return text(status, [verdict, ...lines].join('\n'));
}

function line({ name, state, health: { healthy, reason } }: ElectionHealthView): string {
  const verdict = healthy ? 'ok' : 'not ok';
  // A name or a reason may contain a line break.
  return `${verdict}  ${name}: ${state}${reason === undefined ? '' : `: ${reason}`}`.replaceAll(
    /\p{Cc}/gu,
    ' ',
  );
}
