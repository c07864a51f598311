/** A replica that uses etcd3's own `Election`. after.ts is the same replica after the move to etcd-election. */
import { Etcd3 } from 'etcd3';

const name = process.env['ELECTION'] ?? 'sync-master';
const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const campaign = client.election(name, 10).campaign('before');
campaign.on('elected', () => console.log('the old replica leads'));
campaign.on('error', (error) => console.error(String(error)));
console.log('the old replica campaigns');

const shutDown = (): void => void campaign.resign().then(() => client.close());
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, shutDown);
