import type { Member } from '../etcd/cluster.ts';
import type { Endpoint } from '../network/endpoint.ts';

/** A member of etcd as the network sees it. */
export const endpointOf = (member: Member, name: string = member.name): Endpoint => ({
  name,
  unary: (method, request, reply) => member.unary(method, request, reply),
  stream: (method, to) => member.stream(method, to),
  get condition() {
    return !member.isUp ? 'down' : member.isFrozen ? 'frozen' : 'up';
  },
});
