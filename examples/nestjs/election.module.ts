/**
 * A NestJS module that campaigns after the application has started, and resigns when the application shuts down. The module uses
 * no decorators, so that it compiles with any project settings. `@Module({})` and `@Inject(Election)` would do the same.
 *
 * Nest runs `onModuleDestroy` before `beforeApplicationShutdown`, in which this module closes the election. So a provider that closes the
 * client must do so in `onApplicationShutdown`.
 */
import type { DynamicModule, OnApplicationBootstrap, BeforeApplicationShutdown } from '@nestjs/common';
import type { Etcd3 } from 'etcd3';
import { Election, type ElectionOptions } from 'etcd-election';

export interface ElectionModuleOptions extends ElectionOptions {
  readonly client: Etcd3;
  readonly name: string;
  /** The announced value. Default: the IP address of this host and the process ID. */
  readonly value?: string;
}

class ElectionLifecycle implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #election: Election;
  readonly #value: string | undefined;

  constructor(election: Election, value: string | undefined) {
    this.#election = election;
    this.#value = value;
  }

  onApplicationBootstrap(): void {
    void this.#election.campaign(this.#value); // campaigns again after every loss
  }

  /** Nest calls this method before it waits for open connections. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.#election.close();
  }
}

export class ElectionModule {
  /** Other providers inject the election by its class, `Election`. */
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
