import type postgres from "postgres";
import { beforeEach } from "vitest";
import { type Message, type Sql, writeBatch } from "../../mod.ts";
import { type Database, useDatabase } from "../database.ts";

/** The server that is lost, and the one that takes its place. */
export const primary: Database = useDatabase();
export const standby: Database = useDatabase();

/** What only the statement has that reads the last messages of position streams. */
export const LAST_MESSAGES = "as asked (stream_name)";

beforeEach(async () => {
  for (const { sql } of [primary, standby]) {
    await sql`truncate message_store.messages restart identity`;
    await sql`drop table if exists effects`;
    await sql`create table effects (at serial, id text)`;
  }
});

/** Copies what the primary has, and the other server has not, but for the messages that are lost. */
export async function replicate(
  lost: readonly string[] = [],
  to: Database = standby,
): Promise<void> {
  const [last] = await to.sql`
    select coalesce(max(global_position), 0)::text as position from message_store.messages`;
  const rows = await primary.sql`
    select json_agg(messages order by global_position)::text as json
    from message_store.messages
    where global_position > ${last!.position} and id <> all(${`{${lost}}`}::uuid[])`;
  await to.sql`
    insert into message_store.messages
    select * from json_populate_recordset(null::message_store.messages, ${
    rows[0]!.json
  }::text::json)`;
  await to.sql`
    select setval(
      'message_store.messages_global_position_seq',
      (select max(global_position) from message_store.messages)
    )`;
}

/** A handle to one server after another. */
export interface Routed {
  readonly sql: postgres.Sql;
  /** From now on, the handle is one to another server, by default to the standby. */
  failOver(to?: Database): void;
}

/** A handle to the primary, at first. The function is told before each statement outside of a transaction. */
export function routed(before: (statement: string) => unknown = () => {}): Routed {
  let current = primary.sql;
  const route = async (...statement: Parameters<Sql>) => {
    await before(statement[0].join(""));
    return await current(...statement as Parameters<typeof current>);
  };
  const begin = async (work: Parameters<typeof current.begin>[1]) => {
    await before("begin");
    return await current.begin(work);
  };
  return {
    sql: Object.assign(route, { begin }) as unknown as postgres.Sql,
    failOver: (to = standby) => void (current = to.sql),
  };
}

export async function effectsIn({ sql }: Pick<Database, "sql">): Promise<string[]> {
  const rows = await sql`select id from effects order by at`;
  return rows.map(({ id }) => id);
}

/** Has the effects of messages: their ids. */
export async function insert(messages: readonly Message[], sql: postgres.ISql): Promise<void> {
  for (const { id } of messages) await sql`insert into effects (id) values (${id})`;
}

export async function writeMany(sql: Sql, streamName: string, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => crypto.randomUUID());
  await writeBatch(sql, streamName, ids.map((id) => ({ id, type: "Written" })));
  return ids;
}

/** The position of the last message that is no consumer's own. */
export async function lastPosition({ sql }: Pick<Database, "sql">): Promise<number> {
  const [row] = await sql`
    select max(global_position)::int as last
    from message_store.messages
    where stream_name !~ ':'`;
  return row!.last;
}
