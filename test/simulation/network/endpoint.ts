/** The server at an address: a member of etcd, as the network sees it. */
export interface Refusal {
  readonly code: number;
  readonly message: string;
}

export interface ServerStream {
  write(message: object): void;
  cancel(): void;
}

export interface Endpoint {
  readonly name: string;
  unary(method: string, request: object, reply: (error: Refusal | null, response?: object) => void): void;
  stream(
    method: 'watch' | 'leaseKeepAlive',
    to: { data(message: object): void; end(error?: Refusal): void },
  ): ServerStream;
  /** Whether its process accepts connections, refuses them because it is gone, or is silent because it is frozen. */
  readonly condition: 'up' | 'down' | 'frozen';
}
