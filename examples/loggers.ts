/** Sends the log lines of the library to winston and to `console`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { Election, type Logger } from 'etcd-election';
import winston from 'winston';

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });

// #region winston
/** winston takes the text before the fields, and has no level `trace`. */
function fromWinston(logger: winston.Logger): Logger {
  return {
    trace: (fields, message) => void logger.silly(message, fields),
    debug: (fields, message) => void logger.debug(message, fields),
    info: (fields, message) => void logger.info(message, fields),
    warn: (fields, message) => void logger.warn(message, fields),
    error: (fields, message) => void logger.error(message, fields),
  };
}

const logger = winston.createLogger({
  format: winston.format.json(),
  transports: [new winston.transports.Console()],
});
const one = new Election(client, 'with-winston', { logger: fromWinston(logger) });
// #endregion winston

// #region console
const two = new Election(client, 'with-console', { logger: console }); // prints only the text, from level info on, and at level error also the error object
// #endregion console

await Promise.all([one.campaign(), two.campaign()]);
await Promise.all([one.close(), two.close()]);
client.close();
await sleep(10); // winston writes asynchronously
