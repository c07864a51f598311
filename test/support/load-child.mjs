/**
 * Sends as many requests as it can to a server of the tests: `node load-child.mjs <http|echo|queue> <port> <for
 * milliseconds>`.
 */
import { Agent, get } from 'node:http';
import { connect } from 'node:net';

const [kind, port, forMs] = process.argv.slice(2);
const CLIENTS = 20;
setTimeout(() => process.exit(), Number(forMs));

const loads = {
  http() {
    const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
    const ask = () => {
      get({ port, agent }, (response) => response.resume().on('end', ask)).on('error', () => process.exit());
    };
    for (let i = 0; i < CLIENTS; i++) ask();
  },
  echo() {
    for (let i = 0; i < CLIENTS; i++) {
      const socket = connect(Number(port), '127.0.0.1').on('error', () => process.exit());
      socket.on('data', () => socket.write('ping'));
      socket.write('ping');
    }
  },
  queue() {
    const socket = connect(Number(port), '127.0.0.1').on('error', () => process.exit());
    const messages = `${Array.from({ length: 200 }, (_, id) => JSON.stringify({ id, text: 'x'.repeat(80) })).join('\n')}\n`;
    const send = () => {
      while (socket.write(messages));
    };
    socket.on('drain', send);
    send();
  },
};
loads[kind]();
