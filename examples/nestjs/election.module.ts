/**
 * A NestJS module for an election: it stands when the application has started, and resigns when it shuts down.
 *
 * Written without decorators, so it compiles whatever the project's settings for them are; with them, `@Module({})`
 * and `@Inject(Election)` do the same.
 */
import type { DynamicModule, OnApplicationBootstrap, BeforeApplicationShutdown } from '@nestjs/common';
import type { Etcd3 } from 'etcd3';
import { Election, type ElectionOptions } from 'etcd-election';

export interface ElectionModuleOptions extends ElectionOptions {
  readonly client: Etcd3;
  readonly name: string;
  /** What the others see of us. Default: our IP address. */
  readonly value?: string;
}

/** Begins and ends with the application. */
class ElectionLifecycle implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #election: Election;
  readonly #value: string | undefined;

  constructor(election: Election, value: string | undefined) {
    this.#election = election;
    this.#value = value;
  }

  onApplicationBootstrap(): void {
    void this.#election.campaign(this.#value); // stands again by itself after every loss
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.#election.close();
  }
}

export class ElectionModule {
  /** `Election` is the token to inject. */
  static register({ client, name, value, ...options }: ElectionModuleOptions): DynamicModule {
    return {
      module: ElectionModule,
      global: true,
      providers: [
        { provide: Election, useFactory: () => new Election(client, name, options) },
        {
          provide: ElectionLifecycle,
          useFactory: (election: Election) => new ElectionLifecycle(election, value),
          inject: [Election],
        },
      ],
      exports: [Election],
    };
  }
}
