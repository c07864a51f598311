/**
 * What goes through the pipe to the helper process, one JSON object a line. Nothing else reaches it: no secret
 * stands on a command line or in an environment.
 */

/** How etcd is reached: the part of the client's options that one call needs. */
export interface Reach {
  /** `host:port`, or the path of a socket. */
  readonly hosts: readonly string[];
  readonly auth: { readonly username: string; readonly password: string } | undefined;
  readonly tls: Tls | undefined;
  /** What to put into `:authority` instead of the address. */
  readonly authority: string | undefined;
}

export interface Tls {
  /** PEM; Node's own roots where there is none. */
  readonly ca: string | undefined;
  readonly key: string | undefined;
  readonly cert: string | undefined;
  /** The name that the certificate must be for, where it is not the host's. */
  readonly servername: string | undefined;
}

export type ToHelper =
  | { readonly type: 'reach'; readonly reach: Reach }
  | {
      readonly type: 'hold';
      readonly leaseId: string;
      /** Of the cluster that granted it, in decimal; undefined if its answers carry none. */
      readonly clusterId: string | undefined;
    }
  | { readonly type: 'drop'; readonly leaseId: string };
