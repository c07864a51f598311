/**
 * The beginning of a term: what its work can do to the campaign.
 */
import type { Candidacy, LossCause } from '../core/campaign-state.ts';
import { LiveTerm, type TermLife } from '../term/live-term.ts';
import { TermWriter } from '../term/term-writer.ts';
import { after, clock } from '../util/clock.ts';
import type { TurnTools } from './turn.ts';
import { stopperOf, tellReturned, tellShortWork, tellUncalled } from './unusual-usage.ts';

/** @param lose ends the term; the campaign stands again. */
export function newTerm(tools: TurnTools, candidacy: Candidacy, lose: (reason: LossCause) => void): LiveTerm {
  const { election, settings, report, last, value, callbacks, resign } = tools;
  const writer = new TermWriter(tools, tools.candidateKey.session!, candidacy, {
    pass: (signal) => value.pass(signal),
    done: (announced) => value.proclaimed(announced),
  });
  const life: TermLife = {
    frames: callbacks.frames,
    drainTimeoutMs: settings.drainTimeoutMs,
    get isPair() {
      return settings.whenWorkEnds === 'stay' && callbacks.isPair;
    },
    callers: tools.callers,
    onError: report.callbackFailed,
    onFailed: () => lose('work-failed'),
    uncalled: () => tellUncalled(report, election, 'term'),
    askedAfterEnd: () => report.staleUse(term, last.term),
    evicted: () => lose('evicted'),
    onIdle: (isPair) => {
      if (isPair) return tellShortWork(report, election, callbacks.workTookMs);
      const stopper = term.isListenedTo ? undefined : stopperOf(term.work.returned);
      if (stopper !== undefined) tellReturned(report, election, stopper);
      const isOver = settings.whenWorkEnds === 'step-down';
      report.workEnded(term, !isOver);
      if (isOver) lose('work-ended');
    },
    stepDown: () => lose('stepped-down'),
    resign,
    proclaiming: (proclaim) => value.proclaiming(proclaim),
  };
  const term = new LiveTerm(election, candidacy, value.value, writer, life);
  last.term = term;
  return term;
}

/** Calls back when the work has shown no progress for so long. */
export function watchProgress(term: LiveTerm, timeoutMs: number, onQuiet: () => void): void {
  const check = (): void => {
    const quietMs = clock.now() - term.heartbeatAtMs;
    if (quietMs >= timeoutMs) onQuiet();
    else cancelTimer = after(timeoutMs - quietMs, check);
  };
  let cancelTimer = after(timeoutMs, check);
  term.signal.addEventListener('abort', () => cancelTimer(), { once: true });
}
