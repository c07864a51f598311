/**
 * Writes the alerts of docs/operations.md from the rules of the package, so that both have the same thresholds.
 * `node scripts/alert-docs.mjs`
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { parse } from 'yaml';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const RULES = 'docs/prometheus/etcd-election.rules.yml';
const PAGE = 'docs/operations.md';

/** For some alerts, the section of the runbook that says more. */
const MORE = {
  NobodyLeads: ['No leader', '#no-leader'],
  MoreThanOneLeads: ['Two leaders?', '#two-leaders'],
  ReplicaUnhealthy: ['The leader is stuck', '#the-leader-is-stuck'],
  CampaignRefused: ['etcd refuses us', '#etcd-refuses-us'],
  WorkIgnoresItsSignal: ['A drain is overdue', '#a-drain-is-overdue'],
  WritesFail: ['The leader cannot write', '#the-leader-cannot-write'],
  NotInTheQueue: ['No leader', '#no-leader'],
  RunawayReported: ['The guard has tripped', '#the-guard-has-tripped'],
  LeaseUnavailable: ['etcd is lost', '#etcd-is-lost'],
  RunawayLoop: ['The guard has tripped', '#the-guard-has-tripped'],
};

const entryOf = ({ alert, expr, for: wait, labels, annotations }) =>
  [
    `### ${alert}`,
    `**${labels.severity}**, ${wait === undefined ? 'at once' : `after ${wait}`}. ${annotations.description}`,
    ...(MORE[alert] === undefined ? [] : [`More: [${MORE[alert][0]}](${MORE[alert][1]}).`]),
    `\`\`\`promql\n${expr.trim()}\n\`\`\``,
  ].join('\n\n');

const { groups } = parse(readFileSync(path(RULES), 'utf8'));
const entries = groups.flatMap(({ rules }) => rules.map(entryOf));
const [before, after] = readFileSync(path(PAGE), 'utf8').split(
  /<!-- alerts: [^>]*-->[^]*<!-- end of alerts -->\n/,
);
if (after === undefined) throw new Error(`${PAGE} has no place for the alerts`);
const text = `${before}<!-- alerts: made by npm run docs:alerts -->\n\n${entries.join('\n\n')}\n\n<!-- end of alerts -->\n${after}`;
writeFileSync(path(PAGE), await format(text, { ...(await resolveConfig(path(PAGE))), parser: 'markdown' }));
