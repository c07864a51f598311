/** A NestJS application. Its ReportService knows whether this replica leads. */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { Etcd3 } from 'etcd3';
import { Election } from 'etcd-election';
import { ElectionModule } from './election.module.ts';

class ReportService {
  readonly #election: Election;

  constructor(election: Election) {
    this.#election = election;
  }

  get isOurs(): boolean {
    return this.#election.status.term?.isCurrent() === true;
  }
}

class AppModule {}

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const app = await NestFactory.createApplicationContext(
  {
    module: AppModule,
    imports: [
      ElectionModule.register({
        client,
        name: process.env['ELECTION'] ?? 'reports',
        value: process.env['ANNOUNCE'] ?? 'nest',
        onLeader: () => console.log(`leading: ${app.get(ReportService).isOurs}`),
        onFollower: (leader) => console.log(`following ${leader?.value}`),
      }),
    ],
    providers: [
      {
        provide: ReportService,
        useFactory: (election: Election) => new ReportService(election),
        inject: [Election],
      },
    ],
  },
  { logger: false },
);
await app.init();
let stopping: Promise<void> | undefined;
const shutDown = (): void => void (stopping ??= app.close().then(() => client.close()));
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, shutDown);
