import type { LeaseHolder } from '../../src/client/session-pool.ts';

/** An election on a shared lease, which may have a key. */
export const holderOf = (name: string, isRefused = false): LeaseHolder => ({
  keyPrefix: `election/${name}/`,
  isRefused: () => isRefused,
  mayHaveKey: () => true,
  onOwnKey: () => undefined,
  onOwnKeyDenied: () => undefined,
});
