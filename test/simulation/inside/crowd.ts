/**
 * Many more elections of the same client, which enter and leave in one turn, so that their requests share
 * transactions. The first one has a second candidate in the same process, under another lease.
 */
import { Election, type Term } from 'etcd-election';
import type { Etcd3 } from 'etcd3';
import type { HostApi } from './host.ts';

interface Seat {
  readonly election: string;
  readonly seat: number;
  readonly made: Election;
}

type Logger = NonNullable<NonNullable<ConstructorParameters<typeof Election>[2]>['logger']>;

export class Crowd {
  readonly #host: HostApi;
  readonly #seats: Seat[] = [];
  /** Keeps the second lease while its candidates leave. */
  readonly #keeper: Election | undefined;

  constructor(client: Etcd3, host: HostApi, logger: Logger) {
    this.#host = host;
    const { crowd, ttlSeconds, marginMs } = host.plan;
    const make = (election: string, seat: number): void => {
      const made = new Election(client, election, {
        ttlSeconds: ttlSeconds + seat,
        marginMs,
        logger,
        onLeader: (term) => this.#stamp(election, seat, term),
      });
      this.#seats.push({ election, seat, made });
    };
    for (let index = 0; index < crowd; index++) make(`crowd-${index}`, 0);
    if (crowd === 0) return;
    make('crowd-0', 1);
    this.#keeper = new Election(client, `keeper-${host.plan.name}`, { ttlSeconds: ttlSeconds + 1, logger });
    this.#keeper.campaign().catch(() => undefined);
  }

  #stamp(election: string, seat: number, { fencingToken, leaseId }: Term): void {
    this.#host.record({ type: 'seat', election, seat, token: String(fencingToken), leaseId });
  }

  /** Stamps the current terms. */
  look(): void {
    for (const { election, seat, made } of this.#seats) {
      const { term } = made.status;
      if (term?.isCurrent() === true) this.#stamp(election, seat, term);
    }
  }

  /** All campaign in one turn. */
  campaign(): void {
    for (const { election, seat, made } of this.#seats)
      made.campaign().catch((error: unknown) => {
        const { code } = error as { code?: string };
        if (code !== 'ELECTION_CLOSED')
          this.#host.record({ type: 'seat-refused', election, seat, code: String(code) });
      });
  }

  /** All candidates leave in one turn, or only the leaders. */
  resign(who: 'all' | 'leaders'): void {
    for (const { made } of this.#seats)
      if (who === 'all' || made.status.term !== undefined) made.resign().catch(() => undefined);
  }

  /** Reports which candidates are in their queue. */
  tell(): void {
    for (const { election, seat, made } of this.#seats)
      this.#host.record({
        type: 'seat-stands',
        election,
        seat,
        stands: made.status.position !== undefined,
      });
  }

  async close(): Promise<void> {
    await Promise.all([this.#keeper?.close(), ...this.#seats.map(({ made }) => made.close())]);
  }
}
