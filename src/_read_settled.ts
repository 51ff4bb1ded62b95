import { COLUMNS, type Columns, decode } from "./_message.ts";
import { ask, type Statement, within } from "./_statement.ts";
import type { Message, Sql } from "./types.ts";

/** Which page to read. */
interface Wanted {
  readonly position: number;
  readonly batchSize: number;
  /** The LIKE pattern, or null for all streams. */
  readonly pattern: string | null;
  /** What an earlier page answered: what is missing up to there is settled already. */
  readonly settled?: number;
  /** How many milliseconds to wait, at least, where there is nothing before a missing position. */
  readonly patience?: number;
}

/** A page of the whole store, or of the streams that match a pattern. */
export interface SettledPage<Data> {
  readonly messages: Message<Data>[];
  /** Whether there was no more when the page was read, so far as it is settled. */
  readonly atEnd: boolean;
  /** The global position up to which no message can appear any more. */
  readonly settled: number;
}

/**
 * Reads forward across categories without ever passing a message that is yet to commit.
 *
 * A writer takes a global position before it commits, so 148 can be there while 147 is not, yet.
 * Every writer holds a RowExclusiveLock on the table from before it takes a position until its
 * transaction has ended. So where positions are missing in a page, those who hold that lock now may
 * have taken them; when all of these have ended, what a later statement does not find will never be.
 * No time decides that: while they are at work, the page ends before the first missing position, and
 * the next call with this handle waits for the rest of them, not for who has come since.
 */
export async function readSettled<Data>(sql: Sql, wanted: Wanted): Promise<SettledPage<Data>> {
  let { settled = 0, patience = 127 } = wanted;
  let page = await readPage<Data>(sql, wanted, settled);
  if (page.gap !== null) {
    const { last, writers } = await waitForWriters(
      sql,
      page.gap,
      beforeGap(page).length === 0 ? patience : 0,
    );
    if (writers?.length === 0) {
      const again = await readPage<Data>(sql, wanted, last);
      if (page.snapshot === null || page.snapshot !== again.snapshot) {
        page = again;
        settled = last;
      }
    }
  }
  const messages = beforeGap(page);
  return {
    messages,
    atEnd: messages.length === 0 || (page.gap === null && messages.length < wanted.batchSize),
    settled,
  };
}

function beforeGap<Data>({ messages, gap }: Page<Data>): Message<Data>[] {
  return gap === null ? messages : messages.filter((it) => it.globalPosition < gap);
}

/** The writers that were at work when positions up to `last` had been taken, less those that ended. */
interface Look {
  readonly last: number;
  /** Their transactions; null where they are out of sight. */
  readonly writers: readonly string[] | null;
}

/** By handle, because writers that overlap would never all have ended if each call looked anew. */
const looks = new WeakMap<Sql, Look>();

async function waitForWriters(sql: Sql, gap: number, patience: number): Promise<Look> {
  const now = await lookAtWriters(sql);
  const before = looks.get(sql);
  // Positions that went back are those of a store that was emptied.
  let look = before && gap <= before.last && before.last <= now.last ? less(before, now) : now;
  for (let delay = 1; look.writers?.length && patience > 0; delay = Math.min(delay * 2, 128)) {
    await new Promise((resolve) => setTimeout(resolve, delay));
    patience -= delay;
    look = less(look, await lookAtWriters(sql));
  }
  if (look.writers?.length) looks.set(sql, look);
  else looks.delete(sql);
  return look;
}

function less(look: Look, now: Look): Look {
  // A transaction that is prepared goes on under another name.
  const writers = now.writers?.filter((it) => look.writers?.includes(it) || it.startsWith("-1/"));
  return { last: look.last, writers: writers ?? null };
}

interface Page<Data> {
  readonly messages: Message<Data>[];
  /** The first position that is missing before the last of the page and not settled. */
  readonly gap: number | null;
  /** Names the snapshot where it is the transaction's, not the statement's: nothing settles in one. */
  readonly snapshot: string | null;
}

async function readPage<Data>(
  sql: Sql,
  { position, batchSize, pattern }: Wanted,
  settled: number,
): Promise<Page<Data>> {
  const from = String(Math.max(position, settled + 1, 1));
  const { columns, ...page } = await askPage(sql)`
with
  page as materialized (
    select *
    from message_store.messages
    where global_position >= ${String(position)}::text::bigint
      and (${pattern}::text is null or stream_name like ${pattern}::text)
    order by global_position
    limit ${String(batchSize)}::text::bigint
  ),
  positions as (
    select global_position
    from message_store.messages
    where global_position between ${from}::text::bigint and (select max(global_position) from page)
  ),
  gap as (
    select min(previous) + 1 as position
    from (
      select
        global_position,
        lag(global_position, 1, ${from}::text::bigint - 1) over (order by global_position) as previous
      from positions
    ) as pairs
    where global_position > previous + 1
      and (select max(global_position) - count(*) >= ${from}::text::bigint from positions)
  )
select
  '{"gap":' || coalesce((select position::text from gap), 'null') ||
  ',"snapshot":' || case
    when current_setting('transaction_isolation') like 'read %' then 'null'
    else to_json(now()::text)::text
  end ||
  ',"columns":' ||`;
  return { ...page, messages: decode<Data>(columns) };
}

type Answer = Omit<Page<unknown>, "messages"> & { readonly columns: Columns | null };

function askPage(sql: Sql): Statement<Answer> {
  return (strings, ...parameters) =>
    ask<Answer>(sql)(
      within(strings, "", `${COLUMNS} || '}' as json from page`),
      ...parameters,
    );
}

/** Who holds the lock that writers hold, and the last position that was there before we looked. */
async function lookAtWriters(sql: Sql): Promise<Look> {
  // A statement's snapshot is older than what it reads of pg_locks, which shows locks as they are.
  // On a standby the writers are out of sight: there, what is missing stays unsettled.
  return await ask<Look>(sql)`
select
  json_build_object(
    'last', coalesce((select max(global_position) from message_store.messages), 0),
    'writers', case
      when not pg_is_in_recovery() then coalesce((
        select json_agg(virtualtransaction)
        from pg_locks
        where locktype = 'relation'
          and relation = 'message_store.messages'::regclass
          and database = (select oid from pg_database where datname = current_database())
          and mode = 'RowExclusiveLock'
          and granted
          and pid is distinct from pg_backend_pid()
      ), '[]')
    end
  )::text as json`;
}
