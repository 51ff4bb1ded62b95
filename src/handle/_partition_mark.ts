import type { Sql } from "../types.ts";
import { queryJson } from "./_statement.ts";

/** Reads what `install` has marked a database as: `"partition 1 of 4"`; null if it is no partition. */
export async function readPartitionMark(sql: Sql): Promise<string | null> {
  return await queryJson<string | null>(sql)`
select coalesce(
  to_json(obj_description('message_store.messages_global_position_seq'::regclass, 'pg_class'))::text,
  'null'
) as json`;
}

/** The partition that a mark names; null if the text is no mark. */
export function partitionOfMark(
  mark: string | null,
): { readonly number: number; readonly of: number } | null {
  const [, number, of] = /^partition (\d+) of (\d+)$/.exec(mark ?? "") ?? [];
  return number === undefined ? null : { number: Number(number), of: Number(of) };
}
