import type { TransactionSql } from "postgres";
import { partitionOfMark } from "../handle/_partition_mark.ts";
import { checkInteger, checkMembers } from "../names/_check.ts";
import type { Change } from "./_change.ts";
import type { PartitionMark } from "./partition_mark.ts";
import { queryRow } from "./_query_row.ts";
import { PINNED_SEARCH_PATH } from "./_search_path.ts";

export function checkMark(mark: PartitionMark): void {
  checkMembers("partition", mark, { number: true, of: true }, "an object with number and of");
  checkInteger("partition.of", mark.of, 1);
  checkInteger("partition.number", mark.number, 0, mark.of - 1);
}

/** Reads the comment of the sequence; null if there is none. */
export async function readMark(tx: TransactionSql): Promise<string | null> {
  const row = await queryRow<[string | null]>(
    tx,
    `
    select obj_description(c.oid, 'pg_class')
    from pg_class c
    join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = 'message_store' and relname = 'messages_global_position_seq'
  `,
  );
  return row?.[0] ?? null;
}

/** The change that is left to do, so that the database is marked. */
export function markChanges(mark: string | null, { number, of }: PartitionMark): Change[] {
  const wanted = `partition ${number} of ${of}`;
  if (mark === wanted) return [];
  if (mark !== null) {
    const what = partitionOfMark(mark) === null
      ? `the sequence of its global positions has the comment "${mark}" already`
      : `it is ${mark} already: are the addresses complete, and in the right order?`;
    throw new Error(`Cannot mark this database as ${wanted}: ${what}`);
  }
  const right = `set the mark "${wanted}"`;
  const sql = `comment on sequence message_store.messages_global_position_seq is '${wanted}'`;
  return [{ does: [right], right, sql, searchPath: PINNED_SEARCH_PATH }];
}
