import { hostname } from 'node:os';
import { expect, test, vi } from 'vitest';
import { ownName } from '../../src/util/own-name.ts';

vi.mock('node:os', async (original) => ({
  ...(await original<typeof import('node:os')>()),
  networkInterfaces: () => {
    throw new Error('uv_interface_addresses returned Unknown system error 13');
  },
}));

test('a sandbox that hides the network interfaces: the name is that of the host', () => {
  expect(ownName()).toBe(`${hostname()}:${process.pid}`);
});
