/**
 * Keeps track of the campaigns of one client, across `Election` objects. Two campaigns must not share a key. Work
 * must not begin while work of the previous campaign still runs.
 */
import { CallbackFrames } from '../util/callback-frames.ts';

/** Callbacks of an earlier campaign that may still run. */
export interface UnfinishedCallbacks {
  /** Whether all have settled. */
  readonly isSettled: boolean;
  /** Resolves when all have settled, or the signal aborts. Leaves no listener behind. */
  settled(signal: AbortSignal): Promise<void>;
  /** How long work has run after the end of its term, in milliseconds; 0 if none runs. */
  readonly workAfterTermMs: number;
  /** How long `onFollower` has been running, in milliseconds; 0 if it is not running. */
  readonly followingMs: number;
}

export interface ActiveCampaign {
  isClaimed: boolean;
  /** Callbacks of the previous campaign; undefined once they have settled. */
  previousCallbacks: UnfinishedCallbacks | undefined;
}

/** Counts the clients of this process. The number tells their callback frames apart. */
let clients = 0;

export class ActiveCampaigns {
  readonly #client = ++clients;
  readonly #campaigns = new Map<string, ActiveCampaign>();

  frames(campaignKey: string, election: string): CallbackFrames {
    return new CallbackFrames(`${this.#client}|${campaignKey}`, election);
  }

  /** @param campaignKey identifies a campaign of the client: TTL, prefix and name. */
  at(campaignKey: string): ActiveCampaign {
    let campaign = this.#campaigns.get(campaignKey);
    if (campaign === undefined)
      this.#campaigns.set(campaignKey, (campaign = { isClaimed: false, previousCallbacks: undefined }));
    return campaign;
  }

  /** Removes the entry if no campaign needs it. */
  forget(campaignKey: string): void {
    const campaign = this.#campaigns.get(campaignKey);
    if (campaign?.isClaimed === false && campaign.previousCallbacks === undefined)
      this.#campaigns.delete(campaignKey);
  }
}
