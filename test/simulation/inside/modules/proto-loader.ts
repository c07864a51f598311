/** The stand-in for gRPC knows etcd's services, and its messages are what proto-loader makes of them. */
export const loadSync = (): object => ({});
