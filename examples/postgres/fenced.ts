/**
 * Writes to PostgreSQL that a leader of yesterday cannot make: each transaction raises the row of its resource in
 * `fences` to its own token first, and is refused where that row has a larger one. The row's lock orders the writers.
 */
import type { PoolClient, Pool } from 'pg';
import type { Term } from 'etcd-election';

/** A later leader has written already: this term is over, whatever its clock says. */
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
  try {
    await connection.query('BEGIN');
    const { rowCount } = await connection.query(raise, [resource, term.fencingToken.toString()]);
    if (rowCount === 0)
      throw new FencedOffError(`${resource}: a term after ${term.fencingToken} has written`);
    const result = await work(connection);
    await connection.query('COMMIT');
    return result;
  } catch (error) {
    await connection.query('ROLLBACK').catch(() => undefined); // the connection is gone: so is the transaction
    throw error;
  } finally {
    connection.release();
  }
}
// #endregion fence
