import { type Columns, columnsJson, decode, safe } from "../messages/_columns.ts";
import { ask, type Statement, within } from "../handle/_statement.ts";
import type { Message, Sql } from "../types.ts";

/** Which page to read. */
export interface Wanted {
  readonly position: number;
  readonly batchSize: number;
  /** The LIKE pattern, or null for all streams. */
  readonly pattern: string | null;
  /** What to leave out of the page: messages of other types, of streams that match no pattern. */
  readonly filter?: {
    readonly types?: readonly string[] | undefined;
    readonly patterns?: readonly string[] | undefined;
  };
  /** How many milliseconds to wait, at least, where there is nothing before a missing position. */
  readonly patience?: number;
}

/** A page of the whole store, or of the streams that match a pattern. */
export interface SettledPage<Data> {
  readonly messages: Message<Data>[];
  /** Where to read on: behind what was left out, too. */
  readonly next: number;
  /** Whether there was no more when the page was read, so far as it is settled. */
  readonly atEnd: boolean;
  /** Whether nothing behind it waits for a position that is missing. */
  readonly isSettled: boolean;
  /** Whether all that was read, with what was left out, is what consumers write. */
  readonly isQuiet: boolean;
}

/**
 * Reads forward across categories without ever passing a message that is yet to commit.
 *
 * A writer takes a global position before it commits, so 148 can be there while 147 is not, yet.
 * Every writer holds a RowExclusiveLock on the table from before it takes a position until its
 * transaction has ended. So where positions are missing in a page, those who hold that lock now may
 * have taken them; when all of these have ended, what a later statement does not find will never be.
 * No time decides that: while they are at work, the page ends before the first missing position.
 */
export async function readSettled<Data>(sql: Sql, wanted: Wanted): Promise<SettledPage<Data>> {
  const known = memory.get(sql);
  let page = await readPage<Data>(sql, wanted, known?.settled ?? 0);
  // What is known is of one store, and newer than a snapshot that is the transaction's.
  if (known && (page.store !== known.store || page.snapshot !== null)) {
    page = await readPage<Data>(sql, wanted, 0);
  }
  if (page.gap !== null) {
    const wait = beforeGap(page).length === 0;
    const patience = wait ? wanted.patience ?? 127 : 0;
    const settled = await settle(sql, { ...wanted, patience }, page.store, page.gap);
    if (settled >= page.gap) {
      const again = await readPage<Data>(sql, wanted, settled);
      const isNewer = page.snapshot === null || page.snapshot !== again.snapshot;
      if (isNewer && page.store === again.store) page = again;
    }
  }
  const { gap, count, last, isQuiet } = page;
  const next = gap ?? (last === null ? wanted.position : safe(last) + 1);
  const messages = beforeGap(page);
  const atEnd = gap === null ? count < wanted.batchSize : messages.length === 0;
  return { messages, next, atEnd, isSettled: gap === null, isQuiet };
}

function beforeGap<Data>({ messages, gap }: Page<Data>): Message<Data>[] {
  return gap === null ? messages : messages.filter((it) => it.globalPosition < gap);
}

/** The writers that were at work when the positions up to `last` had been taken, less who ended. */
interface Look {
  readonly last: number;
  writers: string[];
}

/**
 * What was seen through a handle. Without it each call would look anew, and writers who overlap would
 * never all have ended.
 */
interface Memory {
  readonly store: string;
  /** The global position up to which no message can appear any more. */
  settled: number;
  looks: Look[];
}

const memory = new WeakMap<Sql, Memory>();

/** The position up to which nothing is open for this transaction, as far as it has to wait for it. */
async function settle(
  sql: Sql,
  wanted: Wanted & { readonly patience: number },
  store: string,
  gap: number,
): Promise<number> {
  let { patience } = wanted;
  for (let delay = 1;; delay = Math.min(delay * 2, 128)) {
    // Answers may overtake each other: this one says nothing of a look that is taken meanwhile.
    const earlier = new Set(memory.get(sql)?.looks);
    const { writers, own, ...now } = await lookAtWriters(sql, wanted);
    if (now.store !== store || writers === null) return 0;

    let seen = memory.get(sql);
    if (seen?.store !== store) memory.set(sql, seen = { store, settled: 0, looks: [] });
    for (const look of seen.looks) {
      // A transaction that is prepared goes on under another name.
      const goesOn = (it: string) => look.writers.includes(it) || it.startsWith("-1/");
      if (earlier.has(look)) look.writers = writers.filter(goesOn);
    }
    if (!seen.looks.some((look) => look.last >= gap)) seen.looks.push({ last: now.last, writers });

    let settled = seen.settled;
    for (const { last, writers } of seen.looks) {
      if (writers.length === 0) seen.settled = Math.max(seen.settled, last);
      // What a transaction has taken itself, it sees.
      if (writers.every((it) => it === own)) settled = Math.max(settled, last);
    }
    seen.looks = seen.looks.filter(({ writers }) => writers.length > 0);
    if (settled >= gap || patience <= 0) return settled;
    await new Promise((resolve) => setTimeout(resolve, delay));
    patience -= delay;
  }
}

/** Names the server's run, the database and the table, which is another one after a TRUNCATE. */
const STORE = `to_json(concat_ws(' ',
  extract(epoch from pg_postmaster_start_time()),
  (select oid from pg_catalog.pg_database where datname = current_database()),
  pg_relation_filenode('message_store.messages'),
  pg_relation_filenode('message_store.messages_global_position_seq')
))::text`;

interface Page<Data> {
  readonly messages: Message<Data>[];
  /** How many messages were read, with those that were left out, and the last one's position. */
  readonly count: number;
  readonly last: number | null;
  readonly isQuiet: boolean;
  /** The first position that is missing before the last of the page and not settled. */
  readonly gap: number | null;
  /** Names the snapshot where it is the transaction's, not the statement's: nothing settles in one. */
  readonly snapshot: string | null;
  readonly store: string;
}

export async function readPage<Data>(
  sql: Sql,
  { position, batchSize, pattern, filter = {} }: Wanted,
  settled: number,
): Promise<Page<Data>> {
  const from = String(Math.max(position, settled + 1, 1));
  const types = filter.types === undefined ? null : JSON.stringify(filter.types);
  const patterns = filter.patterns === undefined ? null : JSON.stringify(filter.patterns);
  // Positions are counted, and only where some are missing are they gone through one by one.
  const page = await askPage(sql)`
  scanned as materialized (
    select *
    from message_store.messages
    where global_position >= ${String(position)}::text::bigint
      and (${pattern}::text is null or stream_name like ${pattern}::text)
    order by global_position
    limit ${String(batchSize)}::text::bigint
  ),
  page as (
    select *
    from scanned
    where (
        ${types}::text is null
        or type in (select json_array_elements_text(${types}::text::json))
      )
      and (
        ${patterns}::text is null
        or stream_name like any (array(select json_array_elements_text(${patterns}::text::json)))
      )
  ),
  positions as not materialized (
    select global_position
    from message_store.messages
    where global_position between
      ${from}::text::bigint and (select max(global_position) from scanned)
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
  )`;
  return { ...page, messages: decode<Data>(page) };
}

type Answer = Omit<Page<unknown>, "messages"> & Columns;

const PAGE = /* @__PURE__ */ columnsJson(`
    '"gap":', coalesce((select position::text from gap), 'null'),
    ',"count":', (select count(*) from scanned),
    ',"last":', coalesce((select max(global_position)::text from scanned), 'null'),
    ',"isQuiet":', (
      select (not exists (
        select
        from scanned
        where not (
          type ~ '^(Recorded(:.*)?|Sized|Waiting|Parked)$'
          and stream_name ~ '^[^-]*[:+](position|group|parked|aggregate|snapshot)-'
        )
      ))::text
    ),
    ',"snapshot":', case
      when current_setting('transaction_isolation') like 'read %' then 'null'
      else to_json(now()::text)::text
    end,
    ',"store":', ${STORE}, ','`);

function askPage(sql: Sql): Statement<Answer> {
  return (strings, ...parameters) =>
    ask<Answer>(sql)(
      within(strings, "with", `\nselect ${PAGE} as json from page`),
      ...parameters,
    );
}

interface Writers {
  readonly store: string;
  readonly last: number;
  /** The transactions that hold the lock; null where they are out of sight. */
  readonly writers: string[] | null;
  readonly own: string;
}

/** Who holds the lock that writers hold, and the last position that was there before we looked. */
export async function lookAtWriters(
  sql: Sql,
  { pattern, position, batchSize }: Wanted,
): Promise<Writers> {
  // A statement's snapshot is older than what it reads of pg_locks, which shows locks as they are.
  // On a standby the writers are out of sight: there, what is missing stays unsettled.
  // What it is for changes nothing: it is there for a gateway, which decides by it.
  return await askWriters(sql)`
select
  json_build_object(
    'last', coalesce((select max(global_position) from message_store.messages), 0),
    'own', (
      select virtualtransaction
      from pg_catalog.pg_locks
      where locktype = 'virtualxid' and pid = pg_backend_pid()
    ),
    'writers', case
      when not pg_is_in_recovery() then coalesce((
        select json_agg(virtualtransaction)
        from pg_catalog.pg_locks
        where locktype = 'relation'
          and relation = 'message_store.messages'::regclass
          and database = (
            select oid from pg_catalog.pg_database where datname = current_database()
          )
          and mode = 'RowExclusiveLock'
          and granted
      ), '[]')
    end,
    'for', json_build_array(
      ${pattern}::text, ${String(position)}::text, ${String(batchSize)}::text
    ),
    'store', `;
}

function askWriters(sql: Sql): Statement<Writers> {
  return (strings, ...parameters) =>
    ask<Writers>(sql)(within(strings, "", `${STORE}::json)::text as json`), ...parameters);
}
