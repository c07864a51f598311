/** The world as the shared code of processes reaches it: that of the running process. */
import type { HostApi } from '../inside/host.ts';

/** bignumber.js calls the random source when it is loaded, before any process runs. */
const whileLoading = { random: () => 0.5 } as HostApi;

/** @returns an API that leads to the host that was entered last. */
export function currentHost(): { readonly api: HostApi; enter(host: HostApi): void } {
  let host: HostApi = whileLoading;
  return {
    enter: (next) => {
      host = next;
    },
    api: {
      get pid() {
        return host.pid;
      },
      get hostName() {
        return host.hostName;
      },
      get plan() {
        return host.plan;
      },
      monotonicMs: () => host.monotonicMs(),
      wallMs: () => host.wallMs(),
      bootMs: () => host.bootMs(),
      random: () => host.random(),
      setTimer: (run, afterMs) => host.setTimer(run, afterMs),
      clearTimer: (id) => host.clearTimer(id),
      setImmediate: (run) => host.setImmediate(run),
      clearImmediate: (id) => host.clearImmediate(id),
      block: (ms) => host.block(ms),
      connect: (address, to) => host.connect(address, to),
      post: (token, counter, settle) => host.post(token, counter, settle),
      record: (fact) => host.record(fact),
      log: (level, fields, text) => host.log(level, fields, text),
    },
  };
}
