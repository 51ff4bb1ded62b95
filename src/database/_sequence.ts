import type { TransactionSql } from "postgres";
import type { Change } from "./_change.ts";
import { queryRow } from "./_query_row.ts";
import { PINNED_SEARCH_PATH } from "./_search_path.ts";

const NEXT_POSITION = `(
  select last_value + case when is_called then 1 else 0 end
  from message_store.messages_global_position_seq
)`;

// Who writes takes a position after a lock that this lock excludes. So nobody moves the sequence meanwhile,
// and it never goes back.
const MOVE_SEQUENCE = `
lock table message_store.messages in share row exclusive mode;

select pg_catalog.setval('message_store.messages_global_position_seq', max(global_position))
from message_store.messages
having max(global_position) >= ${NEXT_POSITION}
`;

/**
 * The change that is left to do, so that the sequence of global positions is not behind the messages. It is
 * behind after logical replication, a switchover or a restore: these copy the messages, and not the sequence.
 *
 * A role that may not set the sequence has nothing to do: the owner's `install` does it.
 */
export async function sequenceChanges(tx: TransactionSql): Promise<Change[]> {
  if (!await maySetSequence(tx)) return [];
  const [isBehind] = (await queryRow<[boolean]>(
    tx,
    `
    select coalesce(max(global_position) >= ${NEXT_POSITION}, false) from message_store.messages
  `,
  ))!;
  if (!isBehind) return [];
  const right = 'set the sequence "messages_global_position_seq"';
  return [{ does: [right], right, sql: MOVE_SEQUENCE, searchPath: PINNED_SEARCH_PATH }];
}

async function maySetSequence(tx: TransactionSql): Promise<boolean> {
  const row = await queryRow<[boolean]>(
    tx,
    `
    select has_schema_privilege(schema.oid, 'usage')
      and has_table_privilege(messages.oid, 'select')
      and has_sequence_privilege(sequence.oid, 'select')
      and has_sequence_privilege(sequence.oid, 'update')
    from pg_namespace schema
    join pg_class messages on messages.relnamespace = schema.oid and messages.relname = 'messages'
    join pg_class sequence
      on sequence.relnamespace = schema.oid
      and sequence.relname = 'messages_global_position_seq'
      and sequence.relkind = 'S'
    where nspname = 'message_store'
  `,
  );
  return row?.[0] ?? false;
}
