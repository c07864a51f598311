/** The substitute for gRPC knows etcd's services, and its messages have proto-loader's form. */
export const loadSync = (): object => ({});
