/**
 * `etcd-election demo`: three replicas, some mishaps, one leader at a time.
 */
export async function demo(args: readonly string[]): Promise<number> {
  const room = await import('../dev/demo/demo.ts');
  return await room.demo([...args]);
}
