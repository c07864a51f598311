/** What candidates did, in order and with times, on the one clock of this process. */
export interface Act {
  readonly atMs: number;
  readonly who: string;
  readonly what:
    'leads' | 'stopped' | 'onLeader' | 'onLeader over' | 'onFollower' | 'onFollower over' | 'note';
  readonly token: bigint | undefined;
  readonly detail: string;
}

export class History {
  readonly acts: Act[] = [];
  readonly #bornAtMs = performance.now();

  record(who: string, what: Act['what'], token?: bigint, detail = ''): void {
    this.acts.push({ atMs: performance.now() - this.#bornAtMs, who, what, token, detail });
  }

  note(detail: string): void {
    this.record('test', 'note', undefined, detail);
  }

  /** The largest number of candidates that believed at the same time that they lead. */
  leadersAtOnce(): number {
    const leading = new Set<string>();
    let most = 0;
    for (const { who, what, token } of this.acts) {
      if (what === 'leads') leading.add(`${who} ${token}`);
      if (what === 'stopped') leading.delete(`${who} ${token}`);
      most = Math.max(most, leading.size);
    }
    return most;
  }

  /** The leaders, in order. */
  leaders(): string[] {
    return this.acts.filter(({ what }) => what === 'leads').map(({ who }) => who);
  }

  tokens(): bigint[] {
    return this.acts.filter(({ what }) => what === 'leads').map(({ token }) => token!);
  }

  /** A candidate's callbacks in order, as `onLeader`, `onLeader over`, `onFollower`, `onFollower over`. */
  callbacks(who: string): string[] {
    return this.acts.filter((act) => act.who === who && act.what.startsWith('on')).map(({ what }) => what);
  }

  /**
   * @param overdue whether `onFollower` may begin while `onLeader` runs, as it does late in the drain.
   * @throws if a candidate's callbacks overlapped in another way, or if one was called twice in a row.
   */
  assertTurns(who: string, { overdue = false } = {}): void {
    const open = new Set<string>();
    let last: string | undefined;
    for (const what of this.callbacks(who)) {
      const [name = '', over] = what.split(' ');
      if (over !== undefined) {
        if (!open.delete(name))
          throw new Error(`${who}: ${name} was over without having begun\n${this.toString()}`);
        continue;
      }
      const isAllowed = open.size === 0 || (overdue && name === 'onFollower' && open.size === 1);
      if (!isAllowed)
        throw new Error(`${who}: ${name} began while ${[...open].join()} was under way\n${this.toString()}`);
      if (last === name) throw new Error(`${who}: ${name} twice in a row\n${this.toString()}`);
      open.add(name);
      last = name;
    }
  }

  toString(): string {
    return this.acts
      .map(({ atMs, who, what, token, detail }) =>
        `${atMs.toFixed(1).padStart(9)} ms  ${who}: ${what} ${token ?? ''} ${detail}`.trimEnd(),
      )
      .join('\n');
  }
}
