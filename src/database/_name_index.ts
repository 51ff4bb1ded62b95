import type { TransactionSql } from "postgres";
import type { Change } from "./_change.ts";
import { queryRow } from "./_query_row.ts";
import { PINNED_SEARCH_PATH } from "./_search_path.ts";

// With text_pattern_ops, the index finds names by their beginning in any collation. The statement is
// spelled as pg_get_indexdef() spells it, because it is compared with that.
const CREATE_NAME_INDEX =
  "CREATE INDEX messages_names ON message_store.messages USING btree (stream_name text_pattern_ops)";

/** Whether there is an index by our name, and whether it is valid and as we create it. */
export interface NameIndexState {
  readonly isThere: boolean;
  readonly isRight: boolean;
}

/** There is no index. */
export const NO_NAME_INDEX: NameIndexState = { isThere: false, isRight: false };

/** The changes that are left to do, so that the index of stream names is there, or is not. */
export function nameIndexChanges(
  { isThere, isRight }: NameIndexState,
  isWanted: boolean,
): Change[] {
  const changes: Change[] = [];
  if (isThere && !(isWanted && isRight)) {
    changes.push(changeOf("drop", "drop index message_store.messages_names"));
  }
  if (isWanted && !isRight) changes.push(changeOf("create", CREATE_NAME_INDEX));
  return changes;
}

function changeOf(verb: string, sql: string): Change {
  const right = `${verb} the index "messages_names"`;
  return { does: [right], sql, right, searchPath: PINNED_SEARCH_PATH };
}

export async function readNameIndex(tx: TransactionSql): Promise<NameIndexState> {
  const row = await queryRow<[boolean]>(
    tx,
    `
    select indisvalid and pg_get_indexdef(indexrelid) = '${CREATE_NAME_INDEX}'
    from pg_index
    join pg_class on pg_class.oid = indexrelid
    where relname = 'messages_names'
      and relnamespace = (select oid from pg_namespace where nspname = 'message_store')
  `,
  );
  return row === undefined ? NO_NAME_INDEX : { isThere: true, isRight: row[0] };
}
