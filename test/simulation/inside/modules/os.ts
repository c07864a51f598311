import type { HostApi } from '../host.ts';

const host: HostApi = globalThis.simulation;

export const uptime = (): number => Math.floor(host.bootMs() / 10) / 100;
export const hostname = (): string => host.hostName;
export const networkInterfaces = (): object => ({});
