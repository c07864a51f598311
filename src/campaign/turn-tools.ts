/**
 * The parts of the library and of the campaign that a turn uses.
 */
import type { StopCause } from '../core/campaign-state.ts';
import type { Callbacks } from './callbacks.ts';
import type { CampaignTools } from './campaign-tools.ts';
import type { CandidateKey } from './candidate-key.ts';
import type { LeaderView } from './leader-view.ts';
import type { QueueWatcher } from './queue-watcher.ts';
import type { ValuePublisher } from './value-publisher.ts';

type OfElection = Pick<
  CampaignTools,
  | 'election'
  | 'keyPrefix'
  | 'settings'
  | 'transport'
  | 'eventLog'
  | 'report'
  | 'callers'
  | 'last'
  | 'leaseLosses'
>;

interface OfCampaign {
  readonly candidateKey: CandidateKey;
  readonly queueWatcher: QueueWatcher;
  readonly leaderView: LeaderView;
  readonly value: ValuePublisher;
  readonly callbacks: Callbacks;
  /** Why the campaign must end; otherwise undefined. */
  readonly stopCause: () => StopCause | undefined;
  readonly resign: () => void;
  /** Ends a campaign with `ifFree`, because another candidate is there; undefined without `ifFree`. */
  readonly skip: ((leader: string) => void) | undefined;
  /** Aborts when the campaign must end. */
  readonly signal: AbortSignal;
}

export interface TurnTools extends OfElection, OfCampaign {}

/** Names each part: a spread would give every campaign its own object shape, of more than half a kilobyte. */
export const turnTools = (tools: CampaignTools, campaign: OfCampaign): TurnTools => ({
  election: tools.election,
  keyPrefix: tools.keyPrefix,
  settings: tools.settings,
  transport: tools.transport,
  eventLog: tools.eventLog,
  report: tools.report,
  callers: tools.callers,
  last: tools.last,
  leaseLosses: tools.leaseLosses,
  candidateKey: campaign.candidateKey,
  queueWatcher: campaign.queueWatcher,
  leaderView: campaign.leaderView,
  value: campaign.value,
  callbacks: campaign.callbacks,
  stopCause: campaign.stopCause,
  resign: campaign.resign,
  skip: campaign.skip,
  signal: campaign.signal,
});
