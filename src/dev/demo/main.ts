/** `npm run demo`: three replicas, five mishaps, one leader at a time. */
import { demo } from './demo.ts';

process.exitCode = await demo(process.argv.slice(2));
