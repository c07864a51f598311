/**
 * The parts that all campaigns of one `Election` share. They are created once.
 */
import type { Etcd3 } from 'etcd3';
import type { ActiveCampaigns, UnfinishedCallbacks } from '../client/active-campaigns.ts';
import type { RefusalBackoff } from '../client/refusal-backoff.ts';
import type { SessionPool } from '../client/session-pool.ts';
import { sharedClientOf, type SharedClient } from '../client/shared-client.ts';
import type { StopCause } from '../core/campaign-state.ts';
import { ElectionClosedError } from '../errors.ts';
import { electionPrefix } from '../etcd/election-keys.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import type { SharedWatch } from '../etcd/watch.ts';
import type { SharedLog } from '../logging/shared-log.ts';
import { defaultLogger, EventLog } from '../logging/event-log.ts';
import { CallLimiter } from '../loop-guard/call-limits.ts';
import { endpointsOf, keyOf, type ElectionScope } from '../loop-guard/guard-key.ts';
import { electionGuard, type LoopGuard } from '../loop-guard/loop-guard.ts';
import { countSyncCall } from '../loop-guard/sync-flood.ts';
import { resolveOptions, type ElectionOptions, type Settings } from '../options.ts';
import { checkClient, checkName, shortName } from '../input-checks.ts';
import type { LiveTerm } from '../term/live-term.ts';
import type { CallbackFrames } from '../util/callback-frames.ts';
import { CampaignReport } from './campaign-report.ts';

export interface CampaignTools {
  readonly election: string;
  /** Prefix of all candidates' keys. */
  readonly keyPrefix: string;
  readonly settings: Settings;
  /** Identifies a campaign of the client: TTL, prefix and name. */
  readonly campaignKey: string;
  /** All campaigns of this client. */
  readonly campaigns: ActiveCampaigns;
  readonly transport: EtcdTransport;
  readonly sharedWatch: SharedWatch;
  readonly sharedLog: SharedLog;
  readonly sessions: SessionPool;
  readonly refusalBackoff: RefusalBackoff;
  /** Sends together the entries that this client's elections request in one event loop turn. */
  readonly entries: SharedClient['entries'];
  /** Sends together the deletes of keys, in the same way. */
  readonly releases: SharedClient['releases'];
  /** Finds the callbacks of this election on the stack. */
  readonly frames: CallbackFrames;
  readonly guard: LoopGuard;
  /**
   * Guards that few elections need, created on first use. `quits` delays the end of a campaign that had no round yet.
   * Otherwise a loop could bypass the guard by ending its campaigns early. `announcements` delays announcements of values.
   */
  readonly guardFor: (what: 'quits' | 'announcements') => LoopGuard;
  /** Limits the public calls of the election and its terms. */
  readonly callers: CallLimiter;
  readonly eventLog: EventLog;
  readonly report: CampaignReport;
  /** The election's last term, whichever campaign it belongs to. */
  readonly last: { term?: LiveTerm };
  /** Functions to call when our lease expires, because an observer that shows us as the leader must check again. */
  readonly leaseLosses: Set<() => void>;
}

export interface CampaignStart {
  readonly value: string;
  readonly calledFrom: readonly string[];
  /** Callbacks of the previous campaign. This campaign waits for them before it enters. */
  readonly after: UnfinishedCallbacks | undefined;
  /** Whether the campaign ends at once if there is another candidate already. */
  readonly ifFree: boolean;
}

/**
 * Checks the arguments of the constructor. Refused calls also count towards `RunawayLoopError`, because a loop may catch the
 * error and try again.
 */
function checked(client: Etcd3, name: string, options: ElectionOptions | undefined): Settings {
  try {
    checkName(name);
    checkClient(client, name);
    return resolveOptions(name, options);
  } catch (error) {
    countSyncCall(`refused|${shortName(name)}`, shortName(name));
    throw error;
  }
}

/**
 * @throws {InvalidInputError} if an argument of the constructor is not valid.
 * @throws {RunawayLoopError} if a loop constructs elections without ever letting the event loop turn.
 */
export function campaignTools(
  client: Etcd3,
  election: string,
  options: ElectionOptions | undefined,
): CampaignTools {
  const settings = checked(client, election, options);
  const scope: ElectionScope = { endpoints: endpointsOf(client), prefix: settings.prefix, election };
  countSyncCall(keyOf(scope, 'new'), election);
  const eventLog = new EventLog(settings.logger ?? defaultLogger(), keyOf(scope, 'lines'));
  const report = new CampaignReport(election, eventLog);
  for (const reason of settings.warnings) eventLog.report({ type: 'options.unusual', election, reason });
  const shared = sharedClientOf(client);
  shared.log.last = eventLog;
  const campaignKey = `${settings.ttlSeconds}|${settings.prefix}${election}`;
  return {
    election,
    keyPrefix: electionPrefix(settings.prefix, election),
    settings,
    campaignKey,
    campaigns: shared.campaigns,
    transport: shared.transport,
    sharedWatch: shared.watch,
    sharedLog: shared.log,
    sessions: shared.sessions(settings.ttlSeconds),
    refusalBackoff: shared.refusalBackoff,
    entries: shared.entries,
    releases: shared.releases,
    frames: shared.campaigns.frames(campaignKey, election),
    guard: electionGuard(scope, 'campaign'),
    guardFor: (what) => electionGuard(scope, what),
    callers: new CallLimiter(scope, settings.guard, report.guard),
    eventLog,
    report,
    last: {},
    leaseLosses: new Set(),
  };
}

/** The error for callers that still wait for a term when the campaign ends. */
export function endedError(election: string, reason: StopCause): ElectionClosedError {
  return new ElectionClosedError(
    election,
    `the campaign in election "${election}" has ended: ${ENDED[reason]}`,
  );
}

const ENDED: Readonly<Record<StopCause, string>> = {
  resigned: 'resign() was called',
  closed: 'close() was called',
  aborted: 'its signal aborted',
  refused: 'etcd refused it',
};
