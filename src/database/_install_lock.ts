import type { TransactionSql } from "postgres";
import { LOCK_NOT_AVAILABLE, stateOfError } from "./_sql_errors.ts";
import { queryRow } from "./_query_row.ts";

// The keys spell "mess" and "agdb". A write locks a single bigint, and two integers never equal that.
const KEYS = "1835365235, 1634165858";

/**
 * Takes the lock that keeps out other installs until the transaction ends.
 *
 * Any role can take the same lock, and keep it. So the wait has an end: the session's own `lock_timeout`, or
 * 30 seconds if there is none.
 */
export async function lockInstalls(tx: TransactionSql): Promise<void> {
  const [timeout] = (await queryRow<[string]>(tx, "select current_setting('lock_timeout')"))!;
  const isEndless = timeout === "0";
  try {
    await tx.savepoint(async (sp) => {
      if (isEndless) await sp.unsafe("set local lock_timeout = '30s'");
      await sp.unsafe(`select pg_advisory_xact_lock(${KEYS})`);
    });
  } catch (error) {
    if (stateOfError(error) !== LOCK_NOT_AVAILABLE) throw error;
    throw new Error(
      "Cannot lock Message DB to install or uninstall it: the advisory lock " +
        `(${KEYS}) is held by ${await findHolder(tx)}`,
      { cause: error },
    );
  }
  if (isEndless) await tx.unsafe("set local lock_timeout = 0");
}

async function findHolder(tx: TransactionSql): Promise<string> {
  const row = await queryRow<[string]>(
    tx,
    `
    select
      'process ' || pid || coalesce(' of the role "' || usename || '"', '')
        || ', wait until it ends or end it with pg_terminate_backend(' || pid || ')'
    from pg_locks
    left join pg_stat_activity using (pid)
    where locktype = 'advisory'
      and database = (select oid from pg_database where datname = current_database())
      and (classid, objid, objsubid) = (${KEYS}, 2)
      and granted
      and pid is not null
    limit 1
  `,
  );
  return row?.[0] ?? "a transaction that has just ended or is prepared, try again";
}
