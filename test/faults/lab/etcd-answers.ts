import type { Lab } from './lab.ts';

/** Waits until a write succeeds. */
export async function etcdAnswers(lab: Lab): Promise<void> {
  await lab.operator.put(`${lab.election}-probe`, 'x');
}
