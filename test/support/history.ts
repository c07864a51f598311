/** What candidates did, in the order and at the time they did it, on the one clock of this process. */
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

  /** The most candidates that believed at the same time that they lead. */
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

  /** Who led, in order. */
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

  /** @throws if a candidate's callbacks ever overlapped, or one came twice in a row. */
  assertTurns(who: string): void {
    let open: string | undefined;
    let last: string | undefined;
    for (const what of this.callbacks(who)) {
      const [name = '', over] = what.split(' ');
      if (over !== undefined) {
        if (open !== name)
          throw new Error(`${who}: ${name} was over without having begun\n${this.toString()}`);
        open = undefined;
        continue;
      }
      if (open !== undefined)
        throw new Error(`${who}: ${name} began while ${open} was under way\n${this.toString()}`);
      if (last === name) throw new Error(`${who}: ${name} twice in a row\n${this.toString()}`);
      open = last = name;
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
