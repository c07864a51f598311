import { existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { build } from 'esbuild';
import { describe, expect, inject, test } from 'vitest';
import { ROOT } from '../support/programs.ts';
import {
  doors,
  folder,
  manifest,
  needsPeer,
  packed,
  project,
  run,
  tarball,
  write,
} from '../support/installed-package.ts';

// The package as users get it: packed, installed into an empty project, and used there.

describe('the content of the package', () => {
  test('the build, the pages and the examples, but no development files', () => {
    expect(packed).toEqual(
      expect.arrayContaining([
        'dist/index.js',
        'dist/main.js',
        'dist/index.d.ts',
        'dist/cli/bin.js',
        'dist/diagnostics/watchdog/worker-source.js', // generated, not committed
        'dist/last-will/helper-source.js',
        'dist/cli/run/guardian-source.js',
        'docs/operations.md',
        'README.md',
        'LICENSE',
        'CHANGELOG.md',
        'docker-compose.yml',
      ]),
    );
    for (const path of packed)
      expect(path).toMatch(
        /^dist\/.*\.(js|cjs|d\.ts)$|^docs\/|^examples\/.*\.(ts|md|yaml)$|^bench\/.*\.(md|svg|json)$|^[\w-]+\.(json|md|yml)$|^LICENSE$/,
      );
  });

  test('every link of its pages leads to a packaged file', () => {
    const isPacked = (path: string): boolean =>
      packed.some((file) => file === path || file.startsWith(path.replace(/\/?$/, '/')));
    const broken = packed
      .filter((path) => path.endsWith('.md'))
      .flatMap((page) => {
        const text = readFileSync(join(project, 'node_modules/etcd-election', page), 'utf8');
        return [...text.replace(/^```[^]*?^```$/gm, '').matchAll(/\]\(([^)\s#]+)[^)]*\)/g)]
          .map(([, link]) => link!)
          .filter((link) => !/^https?:/.test(link) && !isPacked(posix.join(posix.dirname(page), link)))
          .map((link) => `${page}: ${link}`);
      });
    expect(broken).toEqual([]);
  });

  test('everything that a hover refers to is packaged', () => {
    const named = packed
      .filter((path) => path.endsWith('.d.ts'))
      .flatMap((path) => [
        ...readFileSync(join(project, 'node_modules/etcd-election', path), 'utf8').matchAll(
          /\bdocs\/[\w/-]+\.\w+/g,
        ),
      ])
      .map(([page]) => page);
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((page) => !packed.includes(page))).toEqual([]);
  });

  test('the build contains no machine path', () => {
    const built = packed.filter((path) => path.startsWith('dist/'));
    for (const path of built) {
      const text = readFileSync(join(project, 'node_modules/etcd-election', path), 'utf8');
      expect(text.includes(ROOT), path).toBe(false);
      expect(/\/tmp\/etcd-election-package/.test(text), path).toBe(false);
    }
  });
});

describe('package checkers', () => {
  test('publint --strict has no complaint', async () => {
    const output = await run(join(ROOT, 'node_modules/.bin/publint'), ['--strict', join(folder, 'source')]);
    expect(output).toContain('All good!');
  });

  // The test on node16 below checks the one ignored case.
  test('attw has no complaint but node16 from CommonJS', async () => {
    await run(join(ROOT, 'node_modules/.bin/attw'), [tarball, '--ignore-rules', 'cjs-resolves-to-esm']);
  });
});

const versions = [
  ['this Node', process.execPath],
  ...['22', '24'].map((major) => [
    `Node ${major}`,
    join(ROOT, `node_modules/.cache/node-${major}/package/bin/node`),
  ]),
] as [string, string][];

describe.each(versions)('%s (skipped where it is absent: npm run node:fetch)', (_, node) => {
  const here = test.skipIf(!existsSync(node));
  const env = { NODE_OPTIONS: '', ETCD_ENDPOINTS: '' };

  here('from ESM', async () => {
    const names = doors.filter((door) => door !== needsPeer);
    const file = write(
      'esm.mjs',
      `for (const name of ${JSON.stringify(names)}) console.log(name, Object.keys(await import(name)).length > 0);`,
    );
    expect(await run(node, [file], { env })).toBe(names.map((name) => `${name} true\n`).join(''));
  });

  here('from CommonJS', async () => {
    const names = doors.filter((door) => door !== needsPeer);
    const file = write(
      'cjs.cjs',
      `for (const name of ${JSON.stringify(names)}) console.log(name, Object.keys(require(name)).length > 0);`,
    );
    const output = await run(node, [file], { env });
    expect(output.replace(/^.*(ExperimentalWarning|Use `node --trace-warnings).*\n/gm, '')).toBe(
      names.map((name) => `${name} true\n`).join(''),
    );
  });

  here('both at once: one package, one guard', async () => {
    const file = write(
      'both.mjs',
      `import { createRequire } from 'node:module';
       import { Election } from 'etcd-election';
       console.log(createRequire(import.meta.url)('etcd-election').Election === Election);`,
    );
    expect(await run(node, ['--no-warnings', file], { env })).toBe('true\n');
  });

  here('leads, on a real etcd, and ends by itself', async () => {
    const prefix = `package-${process.pid}-${Math.random().toString(36).slice(2)}/`;
    const file = write(
      'lead.mjs',
      `import { Etcd3 } from 'etcd3';
       import { Election } from 'etcd-election';
       const quiet = Object.fromEntries(['trace', 'debug', 'info', 'warn', 'error'].map((level) => [level, () => {}]));
       const client = new Etcd3({ hosts: process.env.HOSTS.split(',') });
       const election = new Election(client, 'e', { prefix: process.env.PREFIX, logger: quiet });
       console.log(await election.lead(async (term) => typeof term.fencingToken));
       await election.close();
       client.close();`,
    );
    const output = await run(node, [file], {
      env: { ...env, HOSTS: inject('etcd').endpoints.join(), PREFIX: prefix },
    });
    expect(output).toBe('bigint\n');
  });

  here('the command', async () => {
    const bin = join(project, 'node_modules/etcd-election/dist/cli/bin.js');
    expect(await run(node, [bin, '--version'], { env })).toBe(`${manifest.version}\n`);
    const status = await run(node, [bin, 'status', '--json', '--prefix', 'nobody-here/'], {
      env: { ...env, ETCDCTL_ENDPOINTS: inject('etcd').endpoints.join() },
    });
    expect(status).toBe('[]\n');
  });
});

describe('npx', () => {
  test('finds the command', async () => {
    expect(await run('npx', ['--no-install', 'etcd-election', '--version'])).toBe(`${manifest.version}\n`);
  });
});

describe('import', () => {
  test('of the package needs few open files at once', async () => {
    const file = write('few-files.mjs', "await import('etcd-election'); console.log('imported');");
    const command = `ulimit -n 128 && exec ${JSON.stringify(process.execPath)} ${file}`;
    expect(await run('sh', ['-c', command])).toBe('imported\n');
  });
});

describe('side effects', () => {
  test('an import starts nothing, prints nothing and listens to nothing', async () => {
    const file = write(
      'effects.mjs',
      // Effects of importing other packages do not count.
      `for (const name of ['etcd3', 'zod', 'pino', 'cockatiel']) await import(name);
       const before = [Object.keys(globalThis).length, process.eventNames().length];
       for (const name of ${JSON.stringify(doors.filter((door) => door !== needsPeer))}) await import(name);
       const after = [Object.keys(globalThis).length, process.eventNames().length];
       await new Promise((resolve) => setTimeout(resolve, 50)); // files that were read are closed
       const held = process.getActiveResourcesInfo().filter((kind) => !/TTY|Pipe/.test(kind));
       console.log(JSON.stringify({ same: String(before) === String(after), held }));`,
    );
    expect(JSON.parse(await run(process.execPath, [file]))).toEqual({ same: true, held: [] });
  });

  test.each(['etcd-election', 'etcd-election/prometheus'])('a bundler drops an unused %s', async (door) => {
    const bundled = await build({
      stdin: {
        contents: `import '${door}'; import { Election } from 'etcd-election'; console.log(1);`,
        resolveDir: project,
      },
      bundle: true,
      write: false,
      platform: 'node',
      format: 'esm',
      external: ['etcd3', 'pino', 'cockatiel'],
      logLevel: 'silent',
    });
    expect(bundled.outputFiles[0]!.text).not.toContain('class ');
  });
});

describe('bundlers', () => {
  test.each(['esm', 'cjs'] as const)('a service in one %s file leads', async (format) => {
    const contents = `import { Etcd3 } from 'etcd3';
       import { Election } from 'etcd-election';
       const quiet = Object.fromEntries(['trace', 'debug', 'info', 'warn', 'error'].map((level) => [level, () => {}]));
       const client = new Etcd3({ hosts: process.env.HOSTS.split(',') });
       const election = new Election(client, 'e', { prefix: process.env.PREFIX, logger: quiet });
       void election.lead(async (term) => console.log(typeof term.fencingToken)).then(() => election.close()).then(() => client.close());`;
    const outfile = join(folder, `bundled-${format}.${format === 'esm' ? 'mjs' : 'cjs'}`);
    const external = format === 'esm' ? ['etcd3', 'pino'] : ['etcd3'];
    const bundle = { bundle: true, platform: 'node', format, external, outfile } as const;
    await build({ stdin: { contents, resolveDir: project }, ...bundle, logLevel: 'silent' });
    symlinkSync(join(project, 'node_modules'), join(folder, 'node_modules'));
    try {
      const prefix = `bundled-${process.pid}-${format}/`;
      const env = { HOSTS: inject('etcd').endpoints.join(), PREFIX: prefix };
      expect(await run(process.execPath, [outfile], { cwd: folder, env })).toBe('bigint\n');
    } finally {
      rmSync(join(folder, 'node_modules'));
    }
  });
});

describe('a release', () => {
  const addresses = {
    repository: { type: 'git', url: 'git+https://git.example.org/etcd-election.git' },
    homepage: 'https://example.org/etcd-election',
    bugs: { url: 'https://example.org/etcd-election/issues' },
  };
  const check = (changelog: string, manifest: object = addresses): Promise<string> => {
    const file = join(folder, 'CHANGELOG.md');
    writeFileSync(file, changelog);
    const described = join(folder, 'manifest.json');
    writeFileSync(described, JSON.stringify(manifest));
    return run(process.execPath, ['scripts/check-release.mjs', '1.2.3', file, described], { cwd: ROOT });
  };

  test.each(['repository', 'homepage', 'bugs'])('is refused without an address: %s', async (field) => {
    const changelog = '# Changelog\n\n## 1.2.3\n\n- new\n';
    await expect(check(changelog, { ...addresses, [field]: undefined })).rejects.toThrow(
      `"${field}" is missing`,
    );
    await expect(check(changelog, { ...addresses, [field]: 'TODO' })).rejects.toThrow(`"${field}" is "TODO"`);
  });

  test('is refused without an entry in the changelog', async () => {
    await expect(check('# Changelog\n')).rejects.toThrow('no section');
    await expect(check('# Changelog\n\n## Unreleased\n\n- much\n')).rejects.toThrow('Unreleased');
    await expect(check('# Changelog\n\n## 1.2.3\n\n## 1.2.2\n\n- old\n')).rejects.toThrow('empty');
    await expect(check('# Changelog\n\n## 1.2.2\n\n- old\n')).rejects.toThrow('this is 1.2.3');
    expect(await check('# Changelog\n\n## [1.2.3] - 2026-11-22\n\n- new\n')).toBe('');
  });
});
