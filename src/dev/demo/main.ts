/** The program behind `npm run demo`. */
import { demo } from './demo.ts';

process.exitCode = await demo(process.argv.slice(2));
