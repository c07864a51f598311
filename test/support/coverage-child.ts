/** Takes CPU profiles under NODE_V8_COVERAGE, between calls of two functions with a branch. */
import { captureProfile } from 'etcd-election/diagnostics';

const earlier = (value: number): string => (value > 1 ? 'large' : 'small');
const later = (value: number): string => (value > 1 ? 'large' : 'small');

earlier(2);
const recordings = Number(process.argv[2]);
for (let count = 0; count < recordings; count++) {
  const { samples } = await captureProfile({ seconds: 0.05 });
  if ((samples?.length ?? 0) === 0) throw new Error('no samples');
}
const aborted = await captureProfile({ seconds: 60, signal: AbortSignal.timeout(50) }).catch(() => 'aborted');
console.log(earlier(2), later(1), aborted);
