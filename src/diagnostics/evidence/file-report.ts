import { writeSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { messageOf } from '../errors.ts';
import { rewriteReport, writeEvidence } from './evidence.ts';
import type { WatchSettings } from '../watchdog/messages.ts';
import type { Recording } from '../profile/record-profile.ts';
import { type RunawayReport, isRunaway, logLine, webhookLine } from './report.ts';

const WEBHOOK_MS = 5_000;

/**
 * Publishes a report without the main thread: in the evidence folder and on stderr. A runaway also goes to the webhook. A
 * failure of the folder or of the webhook becomes a note in the report. The webhook is called last, so its failure gets a
 * line of its own, and the file of the report is written again.
 *
 * @returns the report with the paths of the evidence.
 */
export async function fileReport(
  report: RunawayReport,
  recording: Recording | undefined,
  settings: Pick<WatchSettings, 'evidence' | 'log' | 'webhook'>,
): Promise<RunawayReport> {
  let filed = report;
  try {
    filed = writeEvidence(report, recording, settings.evidence);
  } catch (error) {
    filed = { ...report, notes: [...report.notes, `evidence not written: ${messageOf(error)}`] };
  }
  if (settings.log !== false) writeLine(logLine(filed, settings.log));
  if (settings.webhook !== undefined && isRunaway(report.verdict)) {
    try {
      await send(settings.webhook, JSON.stringify(filed));
    } catch (error) {
      const note = `webhook failed: ${messageOf(error)}`;
      filed = { ...filed, notes: [...filed.notes, note] };
      rewriteReport(filed);
      if (settings.log !== false) writeLine(webhookLine(filed, note, settings.log));
    }
  }
  return filed;
}

/** Does not use `console`, because the `console` of a worker needs the main thread, which may spin. */
export function writeLine(line: string): void {
  try {
    writeSync(2, line);
  } catch {
    // stderr is closed, or its pipe is full. The evidence folder still has the report.
  }
}

function send({ url, headers }: NonNullable<WatchSettings['webhook']>, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = url.startsWith('https:') ? httpsRequest : httpRequest;
    const options = {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers, 'content-length': Buffer.byteLength(body) },
      signal: AbortSignal.timeout(WEBHOOK_MS),
    };
    const sent = request(url, options, (response) => {
      const { statusCode = 0 } = response;
      response.resume();
      if (statusCode >= 200 && statusCode < 300) resolve();
      else reject(new Error(`it answered ${statusCode}`));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
