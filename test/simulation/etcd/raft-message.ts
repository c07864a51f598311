/** The raft messages between members. */
import type { Entry, Proposal } from './raft-log.ts';

export type MemberId = number;
/** No member. */
export const NONE: MemberId = 0;

export interface Snapshot {
  readonly index: number;
  readonly term: number;
  readonly state: unknown;
}

interface Base {
  readonly from: MemberId;
  readonly to: MemberId;
  /** 0 for a forwarded message, whatever the term. */
  readonly term: number;
}

export type Message = Base &
  (
    | { readonly type: 'propose'; readonly proposal: Proposal }
    | {
        readonly type: 'append';
        readonly index: number;
        readonly logTerm: number;
        readonly entries: readonly Entry[];
        readonly commit: number;
      }
    | {
        readonly type: 'appended';
        readonly index: number;
        readonly isRejected: boolean;
        readonly hint: number;
      }
    | { readonly type: 'snapshot'; readonly snapshot: Snapshot }
    | { readonly type: 'heartbeat'; readonly commit: number; readonly context: string }
    | { readonly type: 'heartbeatReply'; readonly context: string }
    | { readonly type: 'vote' | 'preVote'; readonly index: number; readonly logTerm: number }
    | { readonly type: 'voteReply' | 'preVoteReply'; readonly isRejected: boolean }
    | { readonly type: 'readIndex'; readonly context: string }
    | { readonly type: 'readIndexReply'; readonly context: string; readonly index: number }
  );

/** The rest of a message without sender, receiver and term. */
export type Body<M> = M extends Message
  ? Omit<M, 'from' | 'to' | 'term'> & { readonly term?: number }
  : never;
