import { readFileSync, rmSync, writeFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { prometheusFolder, promtool } from '../support/prometheus.ts';
import { ROOT } from '../support/programs.ts';
import { alertRules, RULES } from '../support/promql.ts';
import { incidents } from './alert-incidents.ts';
import type { Story } from './alert-series.ts';
import { ordinaryDays } from './ordinary-days.ts';

// The alerts of the package: each fires when it must, and only then, in promtool's own simulation.

const alerts = alertRules();
const stories: Record<string, Story> = { ...incidents, ...ordinaryDays };

const folder = await prometheusFolder();

/** A test in promtool's form: these alerts fire at these times, and no others do. */
function testGroup(name: string, [series, firing]: Story): object {
  return {
    name,
    interval: '30s',
    input_series: series,
    promql_expr_test: Object.entries(firing).map(([at, alertNames]) => ({
      expr: 'count by (alertname, namespace, cluster, job, election) (ALERTS{alertstate="firing"})',
      eval_time: at,
      exp_samples: alertNames.map((one) => {
        const [, alertname, labels = ''] = /^(\w+)(?:\{(.*)\})?$/.exec(one)!;
        const job = labels.includes('job=') ? '' : 'job="svc"';
        return {
          labels: `{${[`alertname="${alertname}"`, job, labels].filter(Boolean).join(',')}}`,
          value: 1,
        };
      }),
    })),
  };
}

describe.skipIf(folder === undefined)('the rules', () => {
  test('promtool accepts them', async () => {
    expect(await promtool(folder!, ['check', 'rules', RULES])).toContain(`${alerts.length} rules found`);
  });

  test('each alert fires when it must, and only then', async () => {
    const work = mkdtempSync(join(tmpdir(), 'etcd-election-alerts-'));
    onTestFinished(() => rmSync(work, { recursive: true, force: true }));
    const tests = Object.entries(stories).map(([name, story]) => testGroup(name, story));
    writeFileSync(
      join(work, 'test.yml'),
      JSON.stringify({ rule_files: [RULES], evaluation_interval: '30s', tests }),
    );
    await promtool(folder!, ['test', 'rules', join(work, 'test.yml')]);
  });

  test('each alert has a test in which it fires, and a time at which it is silent', () => {
    const fired = new Set(
      Object.values(stories).flatMap(([, firing]) =>
        Object.values(firing)
          .flat()
          .map((name) => /^\w+/.exec(name)![0]),
      ),
    );
    expect([...fired].toSorted()).toEqual(alerts.map(({ alert }) => alert).toSorted());
  });
});

describe('each alert', () => {
  const page = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8');

  test.each(alerts.map((rule) => [rule.alert, rule] as const))(
    '%s: has a severity and an entry in the runbook',
    (name, rule) => {
      expect(['critical', 'warning']).toContain(rule.labels.severity);
      expect(rule.annotations.runbook_url).toBe(`docs/operations.md#${name.toLowerCase()}`);
      const entry = page.split(/^### /m).find((part) => part.startsWith(`${name}\n`));
      // The page is generated from the rules (else: npm run docs:alerts).
      expect(entry).toContain(
        `**${rule.labels.severity}**, ${rule.for === undefined ? 'at once' : `after ${rule.for}`}.`,
      );
      expect(entry).toContain(rule.annotations.description);
      expect(entry).toContain(rule.expr.trim());
    },
  );

  test('the page describes no other alert', () => {
    const told = page
      .slice(page.indexOf('<!-- alerts:'), page.indexOf('<!-- end of alerts'))
      .match(/^### .*$/gm);
    expect(told).toEqual(alerts.map(({ alert }) => `### ${alert}`));
  });
});
