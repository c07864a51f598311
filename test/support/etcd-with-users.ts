import { Etcd3 } from 'etcd3';
import { startEtcd, type EtcdCluster } from 'etcd-election/dev';

/** An etcd with authentication. `root` has the password `secret`. So has `app`, which may use the keys below the prefix. */
export async function startEtcdWithUsers(prefix: string): Promise<EtcdCluster> {
  const etcd = await startEtcd();
  const admin = new Etcd3({ hosts: etcd.endpoints });
  await (await admin.user('root').create('secret')).addRole(await admin.role('root').create());
  const role = await admin.role('elector').create();
  await role.grant({ permission: 'Readwrite', range: admin.range({ prefix }) });
  await (await admin.user('app').create('secret')).addRole(role);
  await admin.auth.authEnable();
  admin.close();
  return etcd;
}
