/** How long the real etcd or the model may take for an answer, in milliseconds. A busy machine delays the real one. */
export const ANSWER_WITHIN_MS = 60_000;

/**
 * Waits until the condition is true. Every round begins with a pause.
 *
 * @param nowMs the clock of the limit.
 * @throws {Error} that names what was awaited, and adds the details.
 */
export async function waitFor(
  what: string,
  isTrue: () => boolean,
  {
    nowMs,
    pause,
    details = () => '',
  }: { nowMs: () => number; pause: () => Promise<void>; details?: () => string },
): Promise<void> {
  const untilMs = nowMs() + ANSWER_WITHIN_MS;
  while (!isTrue()) {
    if (nowMs() > untilMs) throw new Error(`${what}: not within ${ANSWER_WITHIN_MS} ms${details()}`);
    await pause();
  }
}
