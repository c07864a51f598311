/**
 * Keeps track of the campaigns of one client, across `Election` objects. Two campaigns must not share a key, and the work of
 * one must not begin while the work of the previous one still runs.
 */
import { CallbackFrames } from '../util/callback-frames.ts';

export interface ActiveCampaign {
  isTaken: boolean;
  /** Callbacks of the previous campaign; undefined once they have settled. */
  previousCallbacks: Promise<void> | undefined;
}

/** Counts the clients of this process. The number tells their callback frames apart. */
let clients = 0;

export class ActiveCampaigns {
  readonly #client = ++clients;
  readonly #campaigns = new Map<string, ActiveCampaign>();

  /** The callback frames of this campaign key, across `Election` objects. */
  frames(campaignKey: string, election: string): CallbackFrames {
    return new CallbackFrames(`${this.#client}|${campaignKey}`, election);
  }

  /** @param campaignKey identifies a campaign of the client: TTL, prefix and name. */
  at(campaignKey: string): ActiveCampaign {
    let campaign = this.#campaigns.get(campaignKey);
    if (campaign === undefined)
      this.#campaigns.set(campaignKey, (campaign = { isTaken: false, previousCallbacks: undefined }));
    return campaign;
  }

  /** Removes the entry if no campaign needs it. */
  forget(campaignKey: string): void {
    const campaign = this.#campaigns.get(campaignKey);
    if (campaign?.isTaken === false && campaign.previousCallbacks === undefined)
      this.#campaigns.delete(campaignKey);
  }
}
