/**
 * The exit codes of the command, as in docs/cli.md. They are stable across versions.
 */
export const EXIT = {
  ok: 0,
  /** The command failed: etcd cannot be reached, or refuses. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** `status NAME` and `evict`: nobody leads. `run --once`: the leadership was lost. */
  noLeader: 3,
  /**
   * `evict`: nothing was ended. The answer was no, the term was already over, or `--token` names another term.
   * `run --if-free` and `run --wait`: the command was not run, because another replica leads.
   */
  notDone: 4,
  /** `run`: the command cannot be executed, as in shells. */
  notExecutable: 126,
  notFound: 127,
  /** `run`: a signal ended the command. The number of the signal is added to this code, as in shells. */
  signalled: 128,
} as const;
