/** Blocks this thread: no timer fires meanwhile. @returns the CPU time that it used, in milliseconds. */
export function block(ms: number): number {
  const before = process.cpuUsage();
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}
