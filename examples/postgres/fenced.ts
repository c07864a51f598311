/**
 * A fence in PostgreSQL, so that a leader of an earlier term cannot write. Each resource has a row in `fences` with the largest
 * token. Each transaction first writes its token to that row. If the row has a larger token, the transaction fails.
 */
import type { PoolClient, Pool } from 'pg';
import type { Term } from 'etcd-election';

/** Thrown if a leader of a later term has written. The caller's term is over then. */
export class FencedOffError extends Error {
  override readonly name = 'FencedOffError';
}

// #region fence
export const schema = `
  CREATE TABLE IF NOT EXISTS fences (
    resource text PRIMARY KEY,
    fencing_token bigint NOT NULL
  )`;

const raise = `
  INSERT INTO fences (resource, fencing_token) VALUES ($1, $2)
  ON CONFLICT (resource) DO UPDATE SET fencing_token = excluded.fencing_token
  WHERE fences.fencing_token <= excluded.fencing_token`;

/** Runs the work in one transaction that commits only if no later term has written to the resource. */
export async function fencedTransaction<T>(
  pool: Pool,
  resource: string,
  term: Pick<Term, 'fencingToken'>,
  work: (connection: PoolClient) => Promise<T>,
): Promise<T> {
  const connection = await pool.connect();
  let broken: Error | undefined; // if it is set, release() closes the connection
  const onError = (error: Error): void => void (broken = error); // without a listener, an 'error' event would end the process
  connection.on('error', onError);
  try {
    await connection.query('BEGIN');
    const { rowCount } = await connection.query(raise, [resource, term.fencingToken.toString()]);
    if (rowCount === 0)
      throw new FencedOffError(`${resource}: a term after ${term.fencingToken} has written`);
    const result = await work(connection);
    await connection.query('COMMIT');
    return result;
  } catch (error) {
    // If ROLLBACK fails, the transaction may still be open. Then the pool must not reuse the connection.
    await connection.query('ROLLBACK').catch((failure: Error) => (broken ??= failure));
    throw error;
  } finally {
    connection.off('error', onError);
    connection.release(broken);
  }
}
// #endregion fence
