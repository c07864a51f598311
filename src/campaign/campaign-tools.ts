/**
 * What the campaigns of one election work with: made once for every Election.
 */
import type { Etcd3 } from 'etcd3';
import type { ActiveCampaigns } from '../client/active-campaigns.ts';
import type { RefusalBackoff } from '../client/refusal-backoff.ts';
import type { SessionPool } from '../client/session-pool.ts';
import { sharedClientOf, type SharedClient } from '../client/shared-client.ts';
import type { StopCause } from '../core/campaign-state.ts';
import { ElectionClosedError } from '../errors.ts';
import { electionPrefix } from '../etcd/election-keys.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import type { SharedWatch } from '../etcd/watch.ts';
import { defaultLogger, EventLog } from '../logging/event-log.ts';
import { CallLimiter } from '../loop-guard/call-limits.ts';
import { endpointsOf, keyOf, type ElectionScope } from '../loop-guard/guard-key.ts';
import { guardOf, type LoopGuard } from '../loop-guard/loop-guard.ts';
import { countSyncCall } from '../loop-guard/sync-flood.ts';
import { resolveOptions, type ElectionOptions, type Settings } from '../options.ts';
import { checkClient, checkName, shortName } from '../input-checks.ts';
import type { LiveTerm } from '../term/live-term.ts';
import type { CallbackFrames } from '../util/callback-frames.ts';
import { CampaignReport } from './campaign-report.ts';

/** What the campaigns of one election need of the rest of the library. */
export interface CampaignTools {
  readonly election: string;
  /** Prefix of all candidates' keys. */
  readonly electionKeys: string;
  readonly settings: Settings;
  /** Tells the campaigns of one client apart: TTL, prefix and name. */
  readonly campaignKey: string;
  /** All campaigns of this client. */
  readonly campaigns: ActiveCampaigns;
  readonly transport: EtcdTransport;
  readonly sharedWatch: SharedWatch;
  readonly sessions: SessionPool;
  readonly refusalBackoff: RefusalBackoff;
  /** What elections of this client ask for in one turn is sent together. */
  readonly entries: SharedClient['entries'];
  readonly releases: SharedClient['releases'];
  /** Finds the callbacks of this election on the stack. */
  readonly frames: CallbackFrames;
  readonly guard: LoopGuard;
  /**
   * Guards that few elections ever need, found or made when they are needed: `quits` is passed by campaigns that are
   * given up before the guard let them go, else giving up would be a way round it; `announcements` by every value
   * that is announced within a term or a wait.
   */
  readonly guardOf: (what: 'quits' | 'announcements') => LoopGuard;
  /** What the calls of a term pass. */
  readonly callers: CallLimiter;
  readonly eventLog: EventLog;
  readonly report: CampaignReport;
  /** The election's last term, whichever campaign it belongs to. */
  readonly last: { term?: LiveTerm };
  /** Called when our own lease has run out: an iteration that shows us as the leader must look again. */
  readonly leaseLosses: Set<() => void>;
}

/** Checks the constructor's arguments. Refused calls are counted too: a loop may catch the error and try again for ever. */
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
 * @throws {RunawayLoopError} if a loop makes elections without ever letting the event loop turn.
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
  const campaignKey = `${settings.ttlSeconds}|${settings.prefix}${election}`;
  return {
    election,
    electionKeys: electionPrefix(settings.prefix, election),
    settings,
    campaignKey,
    campaigns: shared.campaigns,
    transport: shared.transport,
    sharedWatch: shared.watch(eventLog),
    sessions: shared.sessions(settings.ttlSeconds),
    refusalBackoff: shared.refusalBackoff,
    entries: shared.entries,
    releases: shared.releases,
    frames: shared.campaigns.frames(campaignKey, election),
    guard: guardOf(scope, 'campaign'),
    guardOf: (what) => guardOf(scope, what),
    callers: new CallLimiter(scope, settings.guard, report.guard),
    eventLog,
    report,
    last: {},
    leaseLosses: new Set(),
  };
}

/** What callers get who still wait for a term when we end the campaign. */
export function endedError(election: string, reason: StopCause): ElectionClosedError {
  const how = reason === 'aborted' ? 'its signal aborted' : `it was ${reason}`;
  return new ElectionClosedError(election, `no longer standing in election "${election}": ${how}`);
}
