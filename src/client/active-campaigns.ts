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

  /** The frames of callbacks of one candidate key, whatever object calls them. */
  frames(candidateKey: string): CallbackFrames {
    return new CallbackFrames(`${this.#client}|${candidateKey}`);
  }

  /** @param candidateKey what tells the campaigns of one client apart: TTL, prefix and name. */
  at(candidateKey: string): ActiveCampaign {
    let campaign = this.#campaigns.get(candidateKey);
    if (campaign === undefined)
      this.#campaigns.set(candidateKey, (campaign = { isTaken: false, previousCallbacks: undefined }));
    return campaign;
  }

  /** Forgets what no campaign needs. */
  forget(candidateKey: string): void {
    const campaign = this.#campaigns.get(candidateKey);
    if (campaign?.isTaken === false && campaign.previousCallbacks === undefined)
      this.#campaigns.delete(candidateKey);
  }
}
