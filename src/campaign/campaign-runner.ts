/**
 * Begins and ends the campaigns of one `Election` object, one after another, and refuses those that cannot begin.
 */
import type { UnfinishedCallbacks } from '../client/active-campaigns.ts';
import type { StopCause } from '../core/campaign-state.ts';
import type { HealthFacts } from '../core/health.ts';
import { AlreadyStandingError, ElectionClosedError, type ElectionError } from '../errors.ts';
import { callSite, type CalledFrom, type PublicFunction } from '../loop-guard/call-site.ts';
import { checkValue } from '../input-checks.ts';
import type { Term } from '../term/term.ts';
import { sharedAbort } from '../util/abort.ts';
import { unheard } from '../util/deferred.ts';
import { ownName } from '../util/own-name.ts';
import { CallbackFrames } from '../util/callback-frames.ts';
import { Callbacks } from './callbacks.ts';
import { Campaign } from './campaign.ts';
import { endedError, type CampaignTools } from './campaign-tools.ts';
import { EarlierCallbacks } from './earlier-callbacks.ts';
import type { LeadWork } from './lead-work.ts';
import { endOrAwaiter } from './self-wait.ts';
import { noteAwaiting, tellInTurn, tellUnset } from './unusual-usage.ts';

/** The last sentence of the error for a call that would wait for itself. */
const REMEDY = {
  campaign: 'The campaign then continues by itself, even after term.stepDown()',
  lead: 'Then call lead() again: this call has ended its campaign',
};

interface Start {
  readonly callbacks: Callbacks;
  readonly calledFrom: readonly string[];
  readonly ifFree: boolean;
}

export class CampaignRunner {
  readonly #tools: CampaignTools;
  readonly #callbacks: Callbacks;
  readonly #onStanding: (isStanding: boolean) => void;
  #closingAbort: AbortController | undefined;
  #closedError: ElectionClosedError | undefined;
  /** etcd's refusal that ended the last campaign; undefined if something else ended it. */
  #refused: string | undefined;
  #campaign: Campaign | undefined;
  /** Set while `lead()` is under way. */
  #leadCampaign: Campaign | undefined;
  /** The last campaign that has begun. It knows our last key, and its callbacks may still run. */
  #last: Campaign | undefined;
  /** Callbacks for which the last campaign waits, or has waited. They may belong to another `Election`. */
  #earlier: UnfinishedCallbacks | undefined;
  /** Why this library refused the last call that could have begun a campaign, for `health()`. */
  #ownRefusal: string | undefined;
  #loggedRefusal: string | undefined;
  /** The last term in which we refused a call that would have waited for itself. */
  #selfWaitIn: Term | undefined;
  /** Calls of `resign()` and `close()` so far. Each cancels a `campaign()` that waits for the end of an earlier campaign. */
  #ends = 0;

  /** @param onStanding called when a campaign begins, and when it has ended or was refused. */
  constructor(tools: CampaignTools, onStanding: (isStanding: boolean) => void) {
    this.#tools = tools;
    this.#callbacks = new Callbacks(tools.settings, tools);
    this.#onStanding = onStanding;
  }

  get current(): Campaign | undefined {
    return this.#campaign;
  }

  get last(): Campaign | undefined {
    return this.#last;
  }

  /** The error for new campaigns and reads after `close()`; undefined before. */
  get closedError(): ElectionClosedError | undefined {
    return this.#closedError;
  }

  /** Aborts on `close()`. */
  get closing(): AbortSignal {
    if (this.#closingAbort === undefined) {
      this.#closingAbort = sharedAbort();
      if (this.#closedError !== undefined) this.#closingAbort.abort(this.#closedError);
    }
    return this.#closingAbort.signal;
  }

  get healthFacts(): HealthFacts {
    const campaign = this.#campaign;
    const term = campaign?.state === 'leading' ? campaign.turn.term : undefined;
    const { progressTimeoutMs, drainTimeoutMs } = this.#tools.settings;
    const running = [this.#last?.callbacks, this.#earlier]; // callbacks may outlive their campaign
    return {
      standing: campaign !== undefined && !campaign.isStopping,
      notStanding: this.#closedError === undefined ? this.#ownRefusal : undefined,
      term:
        term === undefined || term.isOver
          ? undefined
          : {
              remainingMs: term.leftMs,
              quietMs: term.quietMs,
              isWorking: term.work.isWorking,
            },
      progressTimeoutMs,
      workAfterTermMs: Math.max(...running.map((callbacks) => callbacks?.workAfterTermMs ?? 0)),
      followingMs: Math.max(...running.map((callbacks) => callbacks?.followingMs ?? 0)),
      drainTimeoutMs,
      // After `close()` the refusal no longer matters to the service.
      refusal: campaign?.refusal ?? (this.#closedError === undefined ? this.#refused : undefined),
    };
  }

  /** @param method the public method that was called, or its call site if the call had to wait. */
  campaign(value: string | undefined, method: CalledFrom): Promise<Term> {
    const running = this.#campaign;
    if (running?.isStopping === true && this.#closedError === undefined)
      return this.#campaignAfter(running.ended, value, callSite(method));
    if (running !== undefined && this.#leadCampaign === undefined && this.#closedError === undefined)
      return this.#repeat(running, value, method);
    const start = { callbacks: this.#callbacks, calledFrom: callSite(method), ifFree: false };
    return this.#begin(value, start, (campaign) => {
      const term = (): Promise<Term> =>
        CallbackFrames.isAnyRunning
          ? unheard(async () => {
              await noteAwaiting(campaign.turn);
              return await campaign.term();
            })
          : campaign.term();
      return campaign.ready === undefined ? term() : this.#afterCallbacks(campaign.ready, term, method);
    });
  }

  /**
   * Begins a campaign after the earlier one has ended. A later `resign()` or `close()` cancels this campaign: the last call
   * counts.
   */
  #campaignAfter(
    ended: Promise<void>,
    value: string | undefined,
    calledFrom: readonly string[],
  ): Promise<Term> {
    const { callers, election } = this.#tools;
    const endsBefore = this.#ends;
    const begin = async (): Promise<Term> => {
      if (this.#ends !== endsBefore)
        return await callers.refuse(this.#closedError ?? endedError(election, 'resigned'));
      callers.count('campaign');
      return await this.campaign(value, calledFrom);
    };
    return callers.repeat(calledFrom, () => this.#afterCallbacks(ended, begin, calledFrom));
  }

  /** Handles `campaign()` during a campaign: announces the value, and returns the present or the next term. */
  #repeat(running: Campaign, value: string | undefined, method: CalledFrom): Promise<Term> {
    try {
      if (value !== undefined) checkValue(value, this.#tools.election);
      tellUnset(this.#tools.report, this.#tools.election, value);
    } catch (error) {
      return this.refuse(error as ElectionError, callSite(method));
    }
    if (value !== undefined) running.announce(value);
    const term = (): Promise<Term> => (this.#campaign ?? running).term();
    return this.#tools.callers.repeat(method, () =>
      running.ready === undefined ? term() : this.#afterCallbacks(running.ready, term, method),
    );
  }

  lead<T>(lead: LeadWork<T>, calledFrom: readonly string[]): Promise<T | undefined> {
    const { election, frames } = this.#tools;
    const start = { callbacks: new Callbacks(lead.handlers, this.#tools), calledFrom, ifFree: lead.ifFree };
    return this.#begin(undefined, start, async (campaign) => {
      const stop = (reason: StopCause): void => campaign.stop(reason, endedError(election, reason));
      this.#leadCampaign = campaign;
      const over = lead.over(campaign, stop);
      over.catch(() => undefined);
      if (CallbackFrames.isAnyRunning) await noteAwaiting(campaign.turn);
      const awaiting = campaign.ready && (await endOrAwaiter(campaign.ready, frames));
      if (awaiting !== undefined) stop('resigned');
      await campaign.ended;
      this.#leadCampaign = undefined;
      if (lead.isDone && campaign.turn.hasWaited && !lead.ifFree) tellInTurn(this.#tools.report, election);
      return awaiting === undefined ? await over : await this.#refuseSelfWait('lead', calledFrom);
    });
  }

  async stepDown(method: PublicFunction): Promise<void> {
    const campaign = this.#campaign;
    if (campaign?.state !== 'leading') return await this.#tools.callers.idle(method);
    await endOrAwaiter(campaign.stepDown(), this.#tools.frames);
  }

  async end(reason: StopCause, method: PublicFunction): Promise<void> {
    this.#ends++;
    const campaign = this.#campaign;
    const { callers, election, frames } = this.#tools;
    if (campaign === undefined) return await callers.idle(method);
    campaign.stop(reason, endedError(election, reason));
    const awaiting = await endOrAwaiter(campaign.ended, frames);
    if (awaiting === undefined || reason === 'resigned') return;
    // The callback counts as done if it awaits nothing else.
    if (awaiting.isAlone) campaign.callbacks.excuse(awaiting.frame);
    await campaign.ended;
  }

  close(reason: 'closed' | 'aborted', method: PublicFunction): Promise<void> {
    this.#closedError ??= endedError(this.#tools.election, reason);
    this.#closingAbort?.abort(this.#closedError);
    return this.end(reason, method).finally(() => this.#tools.transport.closeWhenUnused());
  }

  /**
   * Rejects with the error, after a delay by the guard. Callers may ignore the rejection, so the log and `health()` show the
   * error too.
   */
  refuse(error: ElectionError, calledFrom: readonly string[], isUndelayed = false): Promise<never> {
    const { callers, election, eventLog } = this.#tools;
    if (!(error instanceof ElectionClosedError)) {
      if (this.#loggedRefusal !== error.message)
        eventLog.report({ type: 'campaign.refused', election, error });
      this.#loggedRefusal = error.message;
      if (this.#campaign?.isStopping !== false) this.#notStand(error.message);
    }
    return callers.refuse(error, calledFrom, isUndelayed);
  }

  #notStand(reason: string): void {
    if (this.#ownRefusal === reason) return;
    this.#ownRefusal = reason;
    if (this.#campaign === undefined) this.#onStanding(false);
  }

  /** Begins a campaign. The guard delays a refusal, so that a loop of refused calls does not run hot. */
  #begin<T>(
    value: string | undefined,
    { callbacks, calledFrom, ifFree }: Start,
    then: (campaign: Campaign) => Promise<T>,
  ): Promise<T> {
    let releaseClaim: () => void;
    try {
      if (this.#closedError !== undefined) throw this.#closedError;
      if (value !== undefined) checkValue(value, this.#tools.election);
      releaseClaim = this.#claim();
      tellUnset(this.#tools.report, this.#tools.election, value);
    } catch (error) {
      return this.refuse(error as ElectionError, calledFrom);
    }
    this.#ownRefusal = undefined;
    this.#loggedRefusal = undefined;
    this.#refused = undefined;
    const { campaignKey, campaigns } = this.#tools;
    const active = campaigns.at(campaignKey);
    const earlier = active.previousCallbacks;
    const campaign = new Campaign(this.#tools, callbacks, {
      value: value ?? ownName(),
      calledFrom,
      after: earlier,
      ifFree,
    });
    this.#earlier = earlier;
    this.#campaign = this.#last = campaign;
    this.#onStanding(true);
    void campaign.ended.then(() => {
      this.#refused = campaign.refusal;
      this.#campaign = undefined;
      this.#onStanding(false);
      // If earlier callbacks still run, this campaign has called no callback. The next campaign then waits for the earlier ones.
      if (earlier?.isSettled !== false) this.#finish(campaign);
      releaseClaim();
    });
    return then(campaign);
  }

  /** The next campaign of this candidate waits until the last callbacks of this one have settled. */
  #finish(campaign: Campaign): void {
    const { campaignKey, campaigns } = this.#tools;
    const active = campaigns.at(campaignKey);
    const finished = campaign.finish();
    active.previousCallbacks = new EarlierCallbacks(campaign.callbacks, finished);
    void finished.then(() => {
      active.previousCallbacks = undefined;
      campaigns.forget(campaignKey);
    });
  }

  /**
   * Claims the candidate key, because two campaigns of one client must not share it.
   *
   * @returns a function that releases the claim.
   * @throws {AlreadyStandingError}
   */
  #claim(): () => void {
    const { election, campaignKey, campaigns, guard } = this.#tools;
    const refuse = (why: string): never => {
      campaigns.forget(campaignKey);
      throw new AlreadyStandingError(election, `election "${election}" ${why}`);
    };
    const active = campaigns.at(campaignKey);
    if (this.#campaign !== undefined)
      refuse(
        'already has a campaign, begun by this Election object: call resign(), or await the lead() that runs, or use another client for a second candidate',
      );
    if (active.isClaimed)
      refuse(
        'already has a candidate of another Election with this client and TTL: use that Election, or close it first',
      );
    const over = guard.admitCampaign();
    if (over === undefined)
      return refuse(
        'cannot begin a campaign: this process runs too many campaigns, or creates elections too fast. Await each campaign before you begin the next',
      );
    active.isClaimed = true;
    return () => {
      active.isClaimed = false;
      campaigns.forget(campaignKey);
      over();
    };
  }

  /**
   * Runs `go` when `done` resolves: the callbacks of an earlier term have settled, or the earlier campaign has ended. If
   * a callback that delays `done` awaits this call, the call would wait for itself, so it is refused.
   */
  #afterCallbacks<T>(done: Promise<void>, go: () => Promise<T>, method: CalledFrom): Promise<T> {
    return unheard(async () => {
      const awaiting = await endOrAwaiter(done, this.#tools.frames);
      if (awaiting === undefined) return await go();
      void done.then(go).catch(() => undefined); // `go` still runs, after that callback has returned
      return await this.#refuseSelfWait('campaign', callSite(method));
    });
  }

  /**
   * Refuses a call that would wait for itself. The first such refusal in a term needs no delay, because the next term begins
   * only after the callback has returned.
   */
  #refuseSelfWait(call: 'campaign' | 'lead', calledFrom: readonly string[]): Promise<never> {
    const { election, last } = this.#tools;
    const isUndelayed = last.term !== undefined && last.term !== this.#selfWaitIn;
    this.#selfWaitIn = last.term;
    const error = new AlreadyStandingError(
      election,
      `${call}() of election "${election}" would wait for itself: a callback of an ended term awaits this call. ` +
        `Return from the callback. ${REMEDY[call]}`,
    );
    return this.refuse(error, calledFrom, isUndelayed);
  }
}
