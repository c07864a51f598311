/** `etcd grpc-proxy`, a part of etcd: a proxy that merges watches and renewals of its clients. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { reservePort } from '../../../src/dev/ports.ts';
import { etcdBinary } from './etcd-binary.ts';
import { hangUp } from './act.ts';

export interface GrpcProxy extends AsyncDisposable {
  readonly endpoint: string;
}

const PATIENCE_MS = 10_000;

/** @param targets endpoints of etcd. */
export async function startGrpcProxy(targets: readonly string[]): Promise<GrpcProxy> {
  const { port } = await reservePort();
  const address = `127.0.0.1:${port}`;
  const hosts = targets.map((target) => target.replace(/^http:\/\//, '')).join(',');
  const child = spawn(
    await etcdBinary(),
    // The proxy connects to its advertised address. The newest etcd does not start if that refuses connections.
    [
      'grpc-proxy',
      'start',
      `--endpoints=${hosts}`,
      `--listen-addr=${address}`,
      `--advertise-client-url=${address}`,
    ],
    { stdio: 'ignore' },
  );
  const exited = once(child, 'exit');
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  for (const untilMs = performance.now() + PATIENCE_MS; !(await accepts(port)); await hangUp(20))
    if (performance.now() > untilMs) throw new Error('etcd grpc-proxy does not listen');
  return {
    endpoint: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      process.off('exit', kill);
      kill();
      await exited;
    },
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
