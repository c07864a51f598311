/**
 * The campaigns of one client: two of them must not share a key, nor may the work of one begin while that of the one
 * before still runs, whatever objects they belong to.
 */
import { CallbackFrames } from '../util/callback-frames.ts';

export interface ActiveCampaign {
  isTaken: boolean;
  /** Callbacks of the campaign before, if they have not settled yet. */
  previousCallbacks: Promise<void> | undefined;
}

/** Clients of this process, counted: frames of callbacks tell them apart. */
let clients = 0;

export class ActiveCampaigns {
  readonly #client = ++clients;
  readonly #campaigns = new Map<string, ActiveCampaign>();

  /** The frames of the callbacks of these campaigns, whatever object calls them. */
  frames(campaignKey: string, election: string): CallbackFrames {
    return new CallbackFrames(`${this.#client}|${campaignKey}`, election);
  }

  /** @param campaignKey what tells the campaigns of one client apart: TTL, prefix and name. */
  at(campaignKey: string): ActiveCampaign {
    let campaign = this.#campaigns.get(campaignKey);
    if (campaign === undefined)
      this.#campaigns.set(campaignKey, (campaign = { isTaken: false, previousCallbacks: undefined }));
    return campaign;
  }

  /** Forgets what no campaign needs. */
  forget(campaignKey: string): void {
    const campaign = this.#campaigns.get(campaignKey);
    if (campaign?.isTaken === false && campaign.previousCallbacks === undefined)
      this.#campaigns.delete(campaignKey);
  }
}
