import { hostname, networkInterfaces, type NetworkInterfaceInfo } from 'node:os';

/**
 * A name for this process: the node's address and the process ID. It may not be unique: containers on different hosts may
 * have the same address and process ID.
 */
export function ownName(): string {
  const address = ownAddress();
  return `${address.includes(':') ? `[${address}]` : address}:${process.pid}`;
}

/** This node's address: its first external IPv4, else IPv6, else the host's name. */
export function ownAddress(): string {
  const external = addresses().filter(({ internal, address }) => !internal && !address.startsWith('fe80:'));
  return (
    external.find(({ family }) => family === 'IPv4')?.address ??
    external.find(({ family }) => family === 'IPv6')?.address ??
    hostname()
  );
}

/** The network addresses of this node. If a sandbox hides the interfaces, Node throws, and we return none. */
function addresses(): NetworkInterfaceInfo[] {
  try {
    return Object.values(networkInterfaces()).flatMap((ofOne) => ofOne ?? []);
  } catch {
    return [];
  }
}
