/**
 * Creates a term, and connects it to its campaign.
 */
import type { Candidacy, LossCause } from '../core/campaign-state.ts';
import { LiveTerm, type TermLife } from '../term/live-term.ts';
import { TermWriter } from '../term/term-writer.ts';
import { afterTurn } from '../util/clock.ts';
import type { TurnTools } from './turn-tools.ts';
import { stopperOf, tellReturned, tellShortWork, tellUncalled } from './unusual-usage.ts';

/** @param lose ends the term. The campaign enters again. */
export function newTerm(tools: TurnTools, candidacy: Candidacy, lose: (reason: LossCause) => void): LiveTerm {
  const { election, settings, report, last, value, callbacks, resign } = tools;
  const writer = new TermWriter(tools, tools.candidateKey.session!, candidacy, {
    pass: (signal) => value.pass(signal),
    done: (announced) => value.published(announced),
  });
  let isIdleReported = false;
  const life: TermLife = {
    frames: callbacks.frames,
    drainTimeoutMs: settings.drainTimeoutMs,
    isPair: () => settings.whenWorkEnds === 'stay' && callbacks.isPair,
    callers: tools.callers,
    onError: report.callbackFailed,
    onFailed: () => lose('work-failed'),
    uncalled: () => tellUncalled(report, election, 'term'),
    askedAfterEnd: () => report.staleUse(term, last.term),
    evicted: () => lose('evicted'),
    onIdle: (isPair) => {
      if (term.leftMs <= 0) return; // after a freeze the work may end before the session's timer fires
      if (isPair) return tellShortWork(report, election, callbacks.workTookMs);
      const stopper = term.isListenedTo ? undefined : stopperOf(term.work.returned);
      if (stopper !== undefined) tellReturned(report, election, stopper);
      const isOver = settings.whenWorkEnds === 'step-down';
      // Reported once: if a program calls `term.run()` for each job, its work ends many times.
      if (!isIdleReported) report.workEnded(term, !isOver);
      isIdleReported = true;
      if (isOver) lose('work-ended');
    },
    stepDown: () => lose('stepped-down'),
    resign,
    proclaiming: (announced, proclaim) => value.proclaiming(announced, proclaim),
  };
  const term = new LiveTerm(election, candidacy, value.value, writer, life);
  last.term = term;
  return term;
}

/**
 * Calls back when the work has reported no progress for `timeoutMs`. The time counts from the last report, and at first
 * from the beginning of the work.
 *
 * @returns a function that ends the watch.
 */
export function watchProgress(term: LiveTerm, timeoutMs: number, onQuiet: () => void): () => void {
  const check = (): void => {
    const { quietMs } = term;
    if (quietMs >= timeoutMs) onQuiet();
    else cancelTimer = afterTurn(timeoutMs - quietMs, check);
  };
  let cancelTimer = afterTurn(timeoutMs, check);
  return () => cancelTimer();
}
