/**
 * The messages to the helper process, one JSON object per line of the pipe. Secrets are sent only here, never on a command
 * line or in an environment variable.
 */

/** How to reach etcd: the part of the client's options that a call needs. */
export interface Reach {
  /** `host:port`, or the path of a socket. */
  readonly hosts: readonly string[];
  readonly auth: { readonly username: string; readonly password: string } | undefined;
  readonly tls: Tls | undefined;
  /** The value of `:authority`; undefined if the address of the host is the value. */
  readonly authority: string | undefined;
}

export interface Tls {
  /** PEM certificates of the trusted certificate authorities; undefined for Node's own. */
  readonly ca: string | undefined;
  readonly key: string | undefined;
  readonly cert: string | undefined;
  /** The name that the certificate must have, if it differs from the host's name. */
  readonly servername: string | undefined;
}

export type ToHelper =
  | { readonly type: 'reach'; readonly reach: Reach }
  | {
      readonly type: 'hold';
      readonly leaseId: string;
      /** ID of the cluster that granted the lease, in decimal; undefined if the cluster's answers carry none. */
      readonly clusterId: string | undefined;
    }
  | { readonly type: 'drop'; readonly leaseId: string };
