/**
 * The campaigns of one Election object, one after another: begins them, ends them, and refuses what cannot begin.
 */
import type { StopCause } from '../core/campaign-state.ts';
import type { HealthFacts } from '../core/health.ts';
import { AlreadyStandingError, ElectionClosedError, type ElectionError } from '../errors.ts';
import { callSite, type PublicFunction } from '../loop-guard/call-site.ts';
import { checkValue } from '../input-checks.ts';
import type { Term } from '../term/term.ts';
import { sharedAbort } from '../util/abort.ts';
import { clock } from '../util/clock.ts';
import { unheard } from '../util/deferred.ts';
import { ownName } from '../util/own-name.ts';
import { CallbackFrames } from '../util/callback-frames.ts';
import { Callbacks } from './callbacks.ts';
import { Campaign } from './campaign.ts';
import { endedError, type CampaignTools } from './campaign-tools.ts';
import type { LeadWork } from './lead-work.ts';
import { overUnlessAwaited } from './self-wait.ts';
import { noteAwaiting, tellInTurn } from './unusual-usage.ts';

interface Start {
  readonly callbacks: Callbacks;
  readonly calledFrom: readonly string[];
  /** Gives up if another candidate stands already. */
  readonly ifFree: boolean;
}

export class CampaignRunner {
  readonly #tools: CampaignTools;
  readonly #callbacks: Callbacks;
  readonly #onStanding: (isStanding: boolean) => void;
  #closingAbort: AbortController | undefined;
  #closedError: ElectionClosedError | undefined;
  /** What etcd ended the last campaign with by refusing it. */
  #refused: string | undefined;
  #campaign: Campaign | undefined;
  /** Set while `lead()` is under way. */
  #leadCampaign: Campaign | undefined;
  /** The last campaign that was begun: its callbacks may still run, and its key is ours. */
  #last: Campaign | undefined;
  /** Message of the last refusal of ours, for `health()`. */
  #notStanding: string | undefined;
  /** The last term in which a callback was refused because it would have waited for itself. */
  #selfWaitIn: Term | undefined;

  /** @param onStanding is called when a campaign begins, and when it is over or refused. */
  constructor(tools: CampaignTools, onStanding: (isStanding: boolean) => void) {
    this.#tools = tools;
    this.#callbacks = new Callbacks(tools.settings, tools);
    this.#onStanding = onStanding;
  }

  /** The campaign under way. */
  get current(): Campaign | undefined {
    return this.#campaign;
  }

  /** The last campaign that was begun: its key is ours. */
  get last(): Campaign | undefined {
    return this.#last;
  }

  /** What every call rejects with after `close()`. */
  get closedError(): ElectionClosedError | undefined {
    return this.#closedError;
  }

  /** Aborts on `close()`; made when it is asked for. */
  get closing(): AbortSignal {
    if (this.#closingAbort === undefined) {
      this.#closingAbort = sharedAbort();
      if (this.#closedError !== undefined) this.#closingAbort.abort(this.#closedError);
    }
    return this.#closingAbort.signal;
  }

  /** What `health()` goes by. */
  get healthFacts(): HealthFacts {
    const campaign = this.#campaign;
    const term = campaign?.state === 'leading' ? campaign.turn.term : undefined;
    const { progressTimeoutMs, drainTimeoutMs } = this.#tools.settings;
    const callbacks = this.#last?.callbacks; // they may outlive their campaign
    return {
      standing: campaign !== undefined && !campaign.isStopping,
      notStanding: this.#closedError === undefined ? this.#notStanding : undefined,
      term:
        term === undefined || term.isOver
          ? undefined
          : {
              remainingMs: term.leftMs,
              quietMs: clock.now() - term.heartbeatAtMs,
              isWorking: term.work.isWorking,
            },
      progressTimeoutMs,
      workOverdueMs: callbacks?.workOverdueMs ?? 0,
      followingMs: callbacks?.followingMs ?? 0,
      drainTimeoutMs,
      // A service that closes a refused election has taken note of it.
      refusal: campaign?.refusal ?? (this.#closedError === undefined ? this.#refused : undefined),
    };
  }

  /** @param method the public method that was called. @param again calls it once more. */
  campaign(value: string | undefined, method: PublicFunction, again: () => Promise<Term>): Promise<Term> {
    const running = this.#campaign;
    if (running?.isStopping === true && this.#closedError === undefined)
      return this.#tools.callers.repeat(method, () => this.#afterCallbacks(running.ended, again, method));
    if (running !== undefined && this.#leadCampaign === undefined && this.#closedError === undefined)
      return this.#repeat(running, value, method);
    const start = { callbacks: this.#callbacks, calledFrom: callSite(method), ifFree: false };
    return this.#begin(value, start, (campaign) => {
      const term = (): Promise<Term> =>
        CallbackFrames.isAnyRunning
          ? unheard(async () => {
              await noteAwaiting(campaign);
              return await campaign.term();
            })
          : campaign.term();
      return campaign.ready === undefined ? term() : this.#afterCallbacks(campaign.ready, term, method);
    });
  }

  /** `campaign()` while one is under way: announces the value, and gives the present or the next term. */
  #repeat(running: Campaign, value: string | undefined, method: PublicFunction): Promise<Term> {
    try {
      if (value !== undefined) checkValue(value, this.#tools.election);
    } catch (error) {
      return this.refuse(error as ElectionError, callSite(method));
    }
    if (value !== undefined) running.announce(value);
    const term = (): Promise<Term> =>
      this.#tools.callers.repeat(method, () => (this.#campaign ?? running).term());
    return running.ready === undefined ? term() : this.#afterCallbacks(running.ready, term, method);
  }

  lead<T>(lead: LeadWork<T>, calledFrom: readonly string[]): Promise<T | undefined> {
    const { election, frames } = this.#tools;
    const start = { callbacks: new Callbacks(lead.handlers, this.#tools), calledFrom, ifFree: lead.ifFree };
    return this.#begin(undefined, start, async (campaign) => {
      const stop = (reason: StopCause): void => campaign.stop(reason, endedError(election, reason));
      this.#leadCampaign = campaign;
      const over = lead.over(campaign, stop);
      over.catch(() => undefined);
      if (CallbackFrames.isAnyRunning) await noteAwaiting(campaign);
      const awaiting = campaign.ready && (await overUnlessAwaited(campaign.ready, frames));
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
    await overUnlessAwaited(campaign.stepDown(), this.#tools.frames);
  }

  async end(reason: StopCause, method: PublicFunction): Promise<void> {
    const campaign = this.#campaign;
    const { callers, election, frames } = this.#tools;
    if (campaign === undefined) return await callers.idle(method);
    campaign.stop(reason, endedError(election, reason));
    const awaiting = await overUnlessAwaited(campaign.ended, frames);
    if (awaiting === undefined || reason === 'resigned') return;
    // The callback has said that it is done, unless it awaits other things too.
    if (awaiting.isAlone) campaign.callbacks.excuse(awaiting.frame);
    await campaign.ended;
  }

  close(reason: 'closed' | 'aborted', method: PublicFunction): Promise<void> {
    this.#closedError ??= endedError(this.#tools.election, reason);
    this.#closingAbort?.abort(this.#closedError);
    return this.end(reason, method).finally(() => this.#tools.transport.rest());
  }

  /** Rejects through the guard. Callers may ignore the rejection, so the log and `health()` have it too. */
  refuse(error: ElectionError, calledFrom: readonly string[], isFree = false): Promise<never> {
    const { callers, election, eventLog } = this.#tools;
    if (!(error instanceof ElectionClosedError) && this.#notStanding !== error.message) {
      this.#notStanding = error.message;
      eventLog.report({ type: 'campaign.refused', election, error });
      if (this.#campaign === undefined) this.#onStanding(false);
    }
    return callers.refuse(error, calledFrom, isFree);
  }

  /** Begins a campaign. A refusal passes the guard first: one that comes at once makes loops hot. */
  #begin<T>(
    value: string | undefined,
    { callbacks, calledFrom, ifFree }: Start,
    then: (campaign: Campaign) => Promise<T>,
  ): Promise<T> {
    let announced = value;
    let letGo: () => void;
    try {
      if (this.#closedError !== undefined) throw this.#closedError;
      if (announced === undefined) announced = ownName();
      checkValue(announced, this.#tools.election);
      letGo = this.#claim();
    } catch (error) {
      return this.refuse(error as ElectionError, calledFrom);
    }
    this.#notStanding = undefined;
    this.#refused = undefined;
    const { campaignKey, campaigns } = this.#tools;
    const active = campaigns.at(campaignKey);
    const campaign = new Campaign(this.#tools, callbacks, {
      value: announced,
      calledFrom,
      after: active.previousCallbacks,
      ifFree,
    });
    this.#campaign = this.#last = campaign;
    this.#onStanding(true);
    void campaign.ended.then(() => {
      this.#refused = campaign.refusal;
      this.#campaign = undefined;
      this.#onStanding(false);
      letGo();
    });
    const previousCallbacks = campaign.settled.then(() => {
      if (active.previousCallbacks === previousCallbacks) active.previousCallbacks = undefined;
      campaigns.forget(campaignKey);
    });
    active.previousCallbacks = previousCallbacks;
    return then(campaign);
  }

  /** Two campaigns of one client must not share a key. @returns a function that releases the claim. @throws {AlreadyStandingError} */
  #claim(): () => void {
    const { election, campaignKey, campaigns, guard } = this.#tools;
    const refuse = (why: string): never => {
      throw new AlreadyStandingError(election, `election "${election}" ${why}`);
    };
    const active = campaigns.at(campaignKey);
    if (active.isTaken)
      refuse('already has a candidate on this client and TTL: use that Election, or close it first');
    const over = guard.admitCampaign();
    if (over === undefined)
      return refuse('is one too many for this process: a loop makes clients, or names, and awaits nothing');
    active.isTaken = true;
    return () => {
      active.isTaken = false;
      campaigns.forget(campaignKey);
      over();
    };
  }

  /**
   * Goes on when the callbacks of an earlier term are over. If one of them awaits this call, the call would wait for
   * itself: it is refused.
   */
  #afterCallbacks<T>(done: Promise<void>, go: () => Promise<T>, method: PublicFunction): Promise<T> {
    return unheard(async () => {
      const awaiting = await overUnlessAwaited(done, this.#tools.frames);
      if (awaiting === undefined) return await go();
      void done.then(() => void go().catch(() => undefined)); // it begins all the same, when that callback has returned
      return await this.#refuseSelfWait('campaign', callSite(method));
    });
  }

  /**
   * The first refusal in a term is not delayed: the term cannot end before that callback returns, and the term itself
   * has passed the guard.
   */
  #refuseSelfWait(call: 'campaign' | 'lead', calledFrom: readonly string[]): Promise<never> {
    const { election, last } = this.#tools;
    const isFree = last.term !== undefined && last.term !== this.#selfWaitIn;
    this.#selfWaitIn = last.term;
    const error = new AlreadyStandingError(
      election,
      `${call}() of election "${election}" would wait for itself: a callback awaits it whose own term has ended. ` +
        'Return from the callback; a campaign stands again by itself then, and after term.stepDown() as well',
    );
    return this.refuse(error, calledFrom, isFree);
  }
}
