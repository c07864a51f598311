/**
 * `etcd-election demo`: three replicas, some mishaps, one leader at a time.
 */
export async function demo(args: readonly string[]): Promise<number> {
  const demo = await import('../dev/demo/demo.ts');
  return await demo.demo([...args]);
}
