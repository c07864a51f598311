import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { ROOT } from '../support/programs.ts';
import { INSTALL_MS, needsPeer, project, run, write } from '../support/installed-package.ts';

// Projects with each setting of TypeScript compile against the installed package.

describe('TypeScript', () => {
  const program = `
    import { Etcd3 } from 'etcd3';
    import { Election, LeadershipLostError, channelNames, type ElectionOptions, type Term } from 'etcd-election';
    import { electionMetrics, type ElectionMetrics } from 'etcd-election/prometheus';
    import { startEtcd } from 'etcd-election/dev';
    import { serveDiagnostics } from 'etcd-election/diagnostics';
    import * as promClient from 'prom-client';
    import { electionTelemetry } from 'etcd-election/opentelemetry';

    const options: ElectionOptions = { ttlSeconds: 5, onLeader: (term: Term) => void term.fencingToken.toString() };
    // @ts-expect-error a misspelt option
    const misspelt: ElectionOptions = { ttlSecond: 5 };
    export const election = new Election(new Etcd3({ hosts: '127.0.0.1:1' }), 'name', options);
    export const metrics: ElectionMetrics = electionMetrics(promClient, { registry: new promClient.Registry() });
    export const rest = [LeadershipLostError, channelNames, misspelt, startEtcd, serveDiagnostics, electionTelemetry] as const;
  `;
  beforeAll(async () => {
    await run('npm', [
      'install',
      '--prefer-offline',
      'prom-client@15',
      '@opentelemetry/api@~1.9',
      'typescript@~5.9',
    ]);
  }, INSTALL_MS);

  test.each([
    ['nodenext', 'nodenext', 'program.mts'],
    ['node16', 'node16', 'program.mts'],
    ['bundler', 'esnext', 'program.ts'],
    ['nodenext from CommonJS', 'nodenext', 'program.cts'],
  ])('moduleResolution %s, with skipLibCheck false', async (resolution, module, file) => {
    write(file, program);
    const config = write(
      `tsconfig.${resolution.replaceAll(' ', '-')}.json`,
      JSON.stringify({
        compilerOptions: {
          module,
          moduleResolution: resolution.split(' ')[0],
          target: 'es2022',
          lib: ['es2023', 'esnext.disposable'],
          types: ['node'],
          strict: true,
          exactOptionalPropertyTypes: true,
          skipLibCheck: false,
          noEmit: true,
        },
        files: [file],
      }),
    );
    await run(join(ROOT, 'node_modules/.bin/tsc'), ['-p', config]);
  });

  test('node16 from CommonJS is refused, as the README says: its require() cannot load ESM', async () => {
    write('program16.cts', program);
    const settings = { module: 'node16', moduleResolution: 'node16', target: 'es2022', skipLibCheck: true };
    const compilerOptions = {
      ...settings,
      lib: ['es2023', 'esnext.disposable'],
      types: ['node'],
      noEmit: true,
    };
    const config = write('tsconfig.16.json', JSON.stringify({ compilerOptions, files: ['program16.cts'] }));
    await expect(run(join(project, 'node_modules/.bin/tsc'), ['-p', config])).rejects.toThrow('TS1479');
  });

  // The settings of services that are not ESM: NestJS's default, and TypeScript's own for Node.
  test.each([
    ['commonjs', { module: 'commonjs', moduleResolution: 'node10', ignoreDeprecations: '5.0' }],
    ['nodenext', { module: 'nodenext', moduleResolution: 'nodenext' }],
  ])('a CommonJS service with module %s compiles with TypeScript 5.9, and runs', async (name, settings) => {
    const folderName = `service-${name}`;
    mkdirSync(join(project, folderName));
    write(`${folderName}/package.json`, '{ "private": true, "type": "commonjs" }');
    write(
      `${folderName}/service.ts`,
      `${program}\nif (typeof Election !== 'function') throw new Error('no Election');\nelection.close().then(() => console.log(rest.length));`,
    );
    write(
      `${folderName}/tsconfig.json`,
      JSON.stringify({
        compilerOptions: {
          ...settings,
          target: 'es2022',
          lib: ['es2023', 'esnext.disposable'],
          types: ['node'],
          strict: true,
          esModuleInterop: true,
          skipLibCheck: true, // as in NestJS; the test above checks the declarations with TypeScript 7
        },
        files: ['service.ts'],
      }),
    );
    await run(join(project, 'node_modules/.bin/tsc'), ['-p', folderName]);
    const output = await run(process.execPath, ['--no-warnings', `${folderName}/service.js`]);
    expect(output).toBe('6\n');
  });

  test('an entry point with a peer works if the peer is installed', async () => {
    const file = write('peer.mjs', `console.log(typeof (await import('${needsPeer}')).electionTelemetry);`);
    expect(await run(process.execPath, [file])).toBe('function\n');
  });
});
