// A failed webhook of the watchdog left no trace on stderr and in the folder: both were written before the request.
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { RunawayReport } from '../../src/diagnostics/evidence/report.ts';
import { buildDiagnostics, RunawayChild } from '../support/diagnostics-child.ts';
import { eventually } from '../support/eventually.ts';

const watch = { stallMs: 500, runawayMs: 1_000, pollMs: 250, profileMs: 200 };

test.each(['text', 'json'] as const)('a failed webhook is a line and a note, as %s', async (log) => {
  const pager = createServer((_request, response) => response.writeHead(503).end());
  await new Promise<void>((resolve) => pager.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void pager.close());
  const webhook = `http://127.0.0.1:${(pager.address() as AddressInfo).port}/`;
  await using child = await RunawayChild.start({
    module: await buildDiagnostics(),
    kind: 'microtask',
    options: { ...watch, log, webhook },
  });
  await child.begin();
  const line = await eventually(
    () => {
      const found = /^.*webhook failed.*$/m.exec(child.stderr);
      if (found === null) throw new Error(child.stderr);
      return found[0];
    },
    { withinMs: 20_000 },
  );
  if (log === 'text') expect(line).toMatch(/\[etcd-election\] webhook failed: it answered 503$/);
  else
    expect(JSON.parse(line)).toMatchObject({
      level: 50,
      event: 'webhook.failed',
      verdict: 'starved',
      msg: 'webhook failed: it answered 503',
    });
  const [folder] = readdirSync(child.directory);
  const report = readFileSync(join(child.directory, folder!, 'report.json'), 'utf8');
  expect((JSON.parse(report) as RunawayReport).notes).toContain('webhook failed: it answered 503');
  expect(readdirSync(join(child.directory, folder!))).not.toContain('report.json.new');
});
