/**
 * Who stands where in this process: two campaigns of one client must not share a key, nor may the work of one begin
 * while that of the one before still runs, whatever objects they belong to.
 */
import type { Etcd3 } from 'etcd3';
import { CallbackFrames } from '../util/callback-frames.ts';

export interface Place {
  isTaken: boolean;
  /** Callbacks of the campaign before, where they have not settled yet. */
  previousCallbacks: Promise<void> | undefined;
}

let clients = 0;
const numbers = new WeakMap<Etcd3, number>();

/** The frames of callbacks of one seat of this client, whatever object calls them. */
export function framesOf(client: Etcd3, candidateKey: string): CallbackFrames {
  let number = numbers.get(client);
  if (number === undefined) numbers.set(client, (number = ++clients));
  return new CallbackFrames(`${number}|${candidateKey}`);
}

const places = new WeakMap<Etcd3, Map<string, Place>>();

/** @param seat what tells the places of one client apart: TTL, prefix and name. */
export function placeOf(client: Etcd3, candidateKey: string): Place {
  let ofClient = places.get(client);
  if (ofClient === undefined) places.set(client, (ofClient = new Map()));
  let place = ofClient.get(candidateKey);
  if (place === undefined)
    ofClient.set(candidateKey, (place = { isTaken: false, previousCallbacks: undefined }));
  return place;
}

/** Forgets a place that nobody needs. */
export function leave(client: Etcd3, candidateKey: string): void {
  const place = places.get(client)?.get(candidateKey);
  if (place?.isTaken === false && place.previousCallbacks === undefined)
    places.get(client)?.delete(candidateKey);
}
