import { queryJson } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";

/** Checks that the role may delete messages, which "grant message_store to <role>" does not give. */
export async function checkMayDelete(sql: Sql, what: string): Promise<void> {
  const { mayDelete, role } = await queryJson<{ mayDelete: boolean; role: string }>(sql)`
select
  json_build_object(
    'mayDelete', has_table_privilege('message_store.messages', 'delete'),
    'role', quote_ident(current_user)
  )::text as json`;
  if (mayDelete) return;
  throw new Error(
    `Cannot ${what}: the role ${role} may not delete messages, ` +
      `which "grant delete on message_store.messages to ${role}" allows`,
  );
}
