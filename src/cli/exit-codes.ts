/**
 * What the command's exit codes mean. Documented in docs/cli.md; stable across versions.
 */
export const EXIT = {
  ok: 0,
  /** It could not be done: etcd cannot be reached, or refuses. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** `status NAME`: nobody leads. `run --once`: the leadership was lost. */
  noLeader: 3,
  /**
   * `evict`: not done, because the answer was no, or the term was over before it could be ended. `run --if-free`,
   * `run --wait`: not run, because the election is taken.
   */
  notDone: 4,
  /** `run`: the command cannot be executed, or does not exist: as shells have it. */
  notExecutable: 126,
  notFound: 127,
  /** `run`: plus the number of the signal that ended the command, as shells have it. */
  signalled: 128,
} as const;
