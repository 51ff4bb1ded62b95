import { ownOf, queryJson } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";

/** What a session may do, and what it sees. */
export interface Session {
  readonly role: string;
  readonly mayDelete: boolean;
  /** Whether each statement sees what was committed before it. */
  readonly isCurrent: boolean;
  /** Whether it is in a transaction that has written. */
  readonly hasWritten: boolean;
}

export async function readSession(sql: Sql): Promise<Session> {
  return await queryJson<Session>(sql)`
select
  json_build_object(
    'role', quote_ident(current_user),
    'mayDelete', has_table_privilege('message_store.messages', 'delete'),
    'isCurrent', current_setting('transaction_isolation') ~~ 'read %',
    'hasWritten', txid_current_if_assigned() is not null
  )::text as json`;
}

/** Checks that the role may delete messages, which "grant message_store to <role>" does not give. */
export async function checkMayDelete(sql: Sql, what: string): Promise<Session> {
  const session = await readSession(sql);
  if (session.mayDelete) return session;
  const { role } = session;
  throw new Error(
    `Cannot ${what}: the role ${role} may not delete messages, ` +
      `which "grant delete on ${ownOf(sql)?.schema ?? "message_store"}.messages to ${role}" allows`,
  );
}
