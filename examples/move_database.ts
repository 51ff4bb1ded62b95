/**
 * Moves a message store to another server while writers, consumers and readers go on, or splits a part of its
 * categories off to another database.
 *
 * PostgreSQL's logical replication copies what is there and what is being written. Then PgBouncer holds all
 * statements for a moment, the rest is copied, and PgBouncer leads them to the new server. The old store
 * refuses what was moved from then on, so nobody writes to the wrong server.
 *
 *     npx tsx move_database.ts \
 *       --from postgres://postgres@old/message_store --to postgres://postgres@new/message_store \
 *       --pgbouncer postgres://admin@pooler:6432/pgbouncer --config /etc/pgbouncer/pgbouncer.ini \
 *       --name message_store --line "host=new port=5432 dbname=message_store"
 *
 * `--tables public.balances,public.letters` takes other tables along. `--categories reading,device` moves these
 * categories alone, with their commands, positions and snapshots. Without `--pgbouncer`, writes of what was
 * moved are refused from the switch on, until your programs use the new server.
 *
 * Each step is checked before the next. The program may be ended at any step and run again: it looks at what is
 * there, and goes on. `--undo` takes everything back that was done before the switch. If a step fails before the
 * switch, PgBouncer goes on with the old server.
 *
 * docs/operate/moving-a-database.md says what to prepare, and what each step does.
 */
import { install, type PartitionMark } from "@messagedb/client/install";
import { isSameStore, storeStatus } from "@messagedb/client/operate";
import { chown, readFile, realpath, rename, stat, writeFile } from "node:fs/promises";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import postgres from "postgres";

const { values: options } = parseArgs({
  options: {
    from: { type: "string" },
    to: { type: "string" },
    /** How the new server reaches the old one, if not by `--from`. */
    publisher: { type: "string" },
    pgbouncer: { type: "string" },
    config: { type: "string" },
    name: { type: "string" },
    line: { type: "string" },
    categories: { type: "string" },
    tables: { type: "string" },
    /** How long PgBouncer may hold statements before the switch, in seconds. */
    "longest-pause": { type: "string", default: "10" },
    undo: { type: "boolean", default: false },
  },
});

function needed(name: "from" | "to" | "config" | "name" | "line"): string {
  const value = options[name];
  if (!value) throw new TypeError(`Cannot move a database: --${name} is missing`);
  return value;
}

const fromUrl = needed("from");
const categories = options.categories?.split(",") ?? [];
const tables = options.tables?.split(",") ?? [];
const longestPause = Number(options["longest-pause"]) * 1000;
const settings = { max: 2, fetch_types: false, onnotice: () => {} };
// No statement waits for a lock longer than the pause may last.
const limited = { ...settings, connection: { lock_timeout: longestPause } };
const from = postgres(fromUrl, limited);
const to = postgres(needed("to"), limited);

/** What the publication, the slot and the subscription are called. */
const move = `move_${(options.name ?? "store").toLowerCase().replaceAll(/\W/g, "_")}`;

let last = performance.now();

/** Prints what is done, and how long that took. */
function done(what: string): void {
  const now = performance.now();
  console.log(`${what} (${Math.round(now - last)} ms)`);
  last = now;
}

function fail(why: string): never {
  throw new Error(`Cannot move the store: ${why}`);
}

/** Waits until it is so; fails after a time, in milliseconds. */
async function until(
  what: string,
  isSo: () => Promise<boolean>,
  longest = Infinity,
): Promise<void> {
  const begun = performance.now();
  while (!await isSo()) {
    if (performance.now() - begun > longest) fail(`${what} took more than ${longest} ms`);
    await sleep(5);
  }
}

const text = (value: string) => `'${value.replaceAll("'", "''")}'`;

/**
 * SQL that selects the messages to move: by the category without its types. A publication's filter may use
 * built-in functions alone, so this does not call Message DB's `category`.
 */
function isMoved(column: string): string {
  if (categories.length === 0) return "true";
  const base = `split_part(split_part(split_part(${column}, '-', 1), ':', 1), '+', 1)`;
  return `${base} in (${categories.map(text).join(", ")})`;
}

// A trigger of the old store guards what is moved: first it lets all messages pass, then it refuses them.

const GUARD = "guard_move";

const PASS = "return new;";

/** The error is that of a server that only reads, which consumers retry. */
const REFUSE = `raise exception 'Cannot write to stream "%": it has moved to another server',
  new.stream_name using errcode = 'read_only_sql_transaction';`;

async function hasGuard(): Promise<boolean> {
  const rows = await from`
    select from pg_trigger
    where tgrelid = 'message_store.messages'::regclass and tgname = ${GUARD}`;
  return rows.length > 0;
}

async function doesRefuse(): Promise<boolean> {
  const rows = await from`
    select from pg_proc
    where proname = ${GUARD}
      and pronamespace = 'message_store'::regnamespace
      and prosrc ~ 'raise exception'`;
  return rows.length > 0;
}

async function setGuard(work: string, sql: postgres.Sql | postgres.TransactionSql = from) {
  await sql.unsafe(`
    create or replace function message_store.${GUARD}() returns trigger language plpgsql as
    $$ begin ${work} end $$`);
}

/** Changes the table's triggers, which waits for those who write: a second, where many do. */
async function changeTriggers(change: (sql: postgres.TransactionSql) => Promise<void>) {
  await until("the wait for open transactions of writers", async () => {
    try {
      await from.begin(async (sql) => {
        // Writers wait behind this. PostgreSQL sorts out who waits for whom after "deadlock_timeout".
        await sql`set local lock_timeout = '5s'`;
        await change(sql);
      });
      return true;
    } catch (error) {
      if ((error as { code?: unknown }).code !== "55P03") throw error;
      return false;
    }
  });
}

async function createGuard(): Promise<void> {
  if (await hasGuard()) return;
  await changeTriggers(async (sql) => {
    await setGuard(PASS, sql);
    await sql.unsafe(`
      create trigger ${GUARD}
      before insert or update on message_store.messages
      for each row when (${isMoved("new.stream_name")})
      execute function message_store.${GUARD}()`);
  });
}

async function dropGuard(): Promise<void> {
  await changeTriggers(async (sql) => {
    await sql.unsafe(`drop trigger if exists ${GUARD} on message_store.messages`);
    await sql.unsafe(`drop function if exists message_store.${GUARD}()`);
  });
}

/**
 * Lets the guard refuse, and waits until nobody writes any more for whom it let messages pass. After that, no
 * message of what is moved can come to the old store, from whomever.
 */
async function refuse(longest?: number): Promise<void> {
  await setGuard(REFUSE);
  // Who takes the lock of writers after that runs the new function. So those count who have it now.
  const open = await writers();
  await until("the wait for open transactions of writers", async () => {
    const now = await writers();
    // A transaction that is prepared for a two-phase commit has another name.
    return !now.some((it) => open.includes(it) || it.startsWith("-1/"));
  }, longest);
}

async function writers(): Promise<string[]> {
  const rows = await from`
    select virtualtransaction as name
    from pg_locks
    where locktype = 'relation'
      and relation = 'message_store.messages'::regclass
      and database = (select oid from pg_database where datname = current_database())
      and mode = 'RowExclusiveLock'
      and granted`;
  return rows.map(({ name }) => name);
}

// PgBouncer.

interface Pooler {
  /** Makes sure that its file can be changed. */
  check(): Promise<void>;
  /** Where it leads statements now. */
  state(): Promise<{ readonly leadsToNew: boolean; readonly isPaused: boolean }>;
  /** Holds statements; resolves when those under way have ended. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Leads statements to the new server. */
  switchOver(): Promise<void>;
  /** Puts the old line back into its file. */
  restore(): Promise<void>;
}

function poolerAt(adminUrl: string): Pooler {
  const config = needed("config");
  const name = needed("name");
  const line = `${name} = ${needed("line")}`;
  const wanted = new Map(
    [...needed("line").matchAll(/(\w+)\s*=\s*(?:'((?:[^']|'')*)'|(\S+))/g)]
      .map(([, key, quoted, plain]) => [key, quoted ?? plain]),
  );
  const before = "; before the move: ";
  const lineOf = (file: string) =>
    file.split("\n").find((it) => it.split("=")[0]!.trim() === name) ??
      fail(`there is no line "${name} = …" in ${config}`);

  // The console takes simple statements alone.
  async function command(statement: string, admin = open()) {
    return await admin.unsafe(statement).finally(() => admin.end({ timeout: 1 }));
  }
  const open = () => postgres(adminUrl, { ...settings, max: 1 });

  return {
    async check() {
      const file = await readFile(config, "utf8");
      lineOf(file);
      // Whether the file can be replaced shows here, and not when PgBouncer holds its clients.
      await replaceFile(config, file);
    },
    async state() {
      const row = (await command("show databases")).find((it) => it["name"] === name) ??
        fail(`PgBouncer has no database "${name}"`);
      const leadsToNew = row["host"] === wanted.get("host") &&
        String(row["port"]) === (wanted.get("port") ?? "5432") &&
        row["database"] === (wanted.get("dbname") ?? name);
      return { leadsToNew, isPaused: Number(row["paused"]) === 1 };
    },
    async pause() {
      const admin = open();
      const pausing = command(`pause ${name}`, admin);
      pausing.catch(() => {});
      const isPaused = await Promise.race([
        pausing.then(() => true),
        sleep(longestPause, false, { ref: false }),
      ]);
      if (isPaused) return;
      await admin.end({ timeout: 0 });
      fail(`a transaction was still open after ${longestPause} ms of pause`);
    },
    async resume() {
      if ((await this.state()).isPaused) await command(`resume ${name}`);
    },
    async switchOver() {
      const file = await readFile(config, "utf8");
      const old = lineOf(file);
      if (old !== line) {
        await replaceFile(config, file.replace(old, () => `${before}${old}\n${line}`));
      }
      await command("reload");
      if (!(await this.state()).leadsToNew) fail("PgBouncer does not lead to the new server");
    },
    async restore() {
      const file = await readFile(config, "utf8");
      const lines = file.split("\n");
      const at = lines.indexOf(line);
      const old = lines[at - 1];
      if (at < 1 || !old!.startsWith(before)) return;
      lines.splice(at - 1, 2, old!.slice(before.length));
      await replaceFile(config, lines.join("\n"));
      await command("reload");
    },
  };
}

/** Whoever reads the file meets the old one or the new one, also if this program is killed meanwhile. */
async function replaceFile(path: string, text: string): Promise<void> {
  const file = await realpath(path);
  const { mode, uid, gid } = await stat(file);
  await writeFile(`${file}.new`, text, { mode });
  await chown(`${file}.new`, uid, gid);
  await rename(`${file}.new`, file);
}

const pooler = options.pgbouncer ? poolerAt(options.pgbouncer) : undefined;

// The replication.

async function hasSubscription(): Promise<boolean> {
  const rows = await to`
    select from pg_subscription
    where subname = ${move}
      and subdbid = (select oid from pg_database where datname = current_database())`
    .catch((error) => {
      const isNoDatabase = error.code === "3D000";
      if (!isNoDatabase) throw error;
      return [];
    });
  return rows.length > 0;
}

/** Whether the new server has taken over, and there is no way back. */
async function isSwitched(): Promise<boolean> {
  if (pooler) return (await pooler.state()).leadsToNew;
  return await doesRefuse() && !await hasSubscription();
}

async function publish(): Promise<void> {
  const existing = (await from`
    select pubname from pg_publication where pubname in (${move}, ${`${move}_tables`})`)
    .map(({ pubname }) => pubname);
  if (!existing.includes(move)) {
    // With a filter, updates and deletes would need a replica identity that has the name of the stream.
    await from.unsafe(
      `create publication ${move} for table message_store.messages` +
        (categories.length > 0
          ? ` where (${isMoved("stream_name")}) with (publish = 'insert')`
          : ""),
    );
  }
  if (tables.length > 0 && !existing.includes(`${move}_tables`)) {
    await from.unsafe(`create publication ${move}_tables for table ${tables.join(", ")}`);
  }
  const slots = await from`select from pg_replication_slots where slot_name = ${move}`;
  if (slots.length === 0) {
    await from`select pg_create_logical_replication_slot(${move}, 'pgoutput')`;
  }
}

async function subscribe(): Promise<void> {
  if (await hasSubscription()) return;
  const publications = tables.length > 0 ? `${move}, ${move}_tables` : move;
  await to.unsafe(
    `create subscription ${move} connection ${text(options.publisher ?? fromUrl)} ` +
      `publication ${publications} with (create_slot = false, slot_name = ${text(move)})`,
  );
}

/** Waits until the new server has what is there, and follows what is written. */
async function copy(): Promise<void> {
  let printedAt = performance.now();
  await until("the copy", async () => {
    const [state] = await to<{ left: number }[]>`
      select count(*) filter (where srsubstate <> 'r')::int as left
      from pg_subscription_rel
      join pg_subscription on pg_subscription.oid = srsubid
      where subname = ${move}`;
    const [lag] = await from<{ bytes: string | null }[]>`
      select pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::text as bytes
      from pg_stat_replication
      join pg_replication_slots on active_pid = pid
      where slot_name = ${move}`;
    if (performance.now() - printedAt > 5000) {
      printedAt = performance.now();
      console.log(
        lag === undefined
          ? "  The new server is not connected to the old one: see its log"
          : `  ${state!.left} tables are still being copied; ${lag.bytes} bytes behind`,
      );
    }
    return state!.left === 0 && lag?.bytes != null && Number(lag.bytes) < 1_000_000;
  });
}

/** Waits until the new server has everything up to now. */
async function replay(position: "insert" | "flush", longest?: number): Promise<void> {
  const [now] = await from.unsafe(`select pg_current_wal_${position}_lsn()::text as lsn`);
  await until("the replay of what was written", async () => {
    // The new server reports what is on its disk. It applies without waiting for the disk; this commit waits.
    await to`select pg_logical_emit_message(true, ${move}, '')`;
    const [row] = await from`
      select replay_lsn >= ${now!["lsn"]}::pg_lsn as is_done
      from pg_stat_replication
      join pg_replication_slots on active_pid = pid
      where slot_name = ${move}`;
    return row?.["is_done"] === true;
  }, longest);
}

/** Ends the replication. The slot stays: the old server may be away by then. */
async function unsubscribe(): Promise<void> {
  if (!await hasSubscription()) return;
  await to.begin(async (sql) => {
    await sql.unsafe(`alter subscription ${move} disable`);
    await sql.unsafe(`alter subscription ${move} set (slot_name = none)`);
    await sql.unsafe(`drop subscription ${move}`);
  });
}

async function unpublish(): Promise<void> {
  await until("the end of the replication", async () => {
    const slots = await from`select active from pg_replication_slots where slot_name = ${move}`;
    if (slots.length === 0) return true;
    if (!slots[0]!["active"]) {
      // The server may need the moment in between to notice.
      await from`select pg_drop_replication_slot(${move})`.catch((error) => {
        if (error.code !== "55006") throw error;
      });
    }
    return false;
  }, 30_000);
  await from.unsafe(`drop publication if exists ${move}`);
  await from.unsafe(`drop publication if exists ${move}_tables`);
}

// What is checked, and the sequences.

async function check(): Promise<void> {
  await pooler?.check();
  const read = async (sql: postgres.Sql) =>
    (await sql`
      select
        current_setting('server_version_num')::int as version,
        current_setting('wal_level') as wal_level,
        pg_is_in_recovery() as is_standby`)[0]!;
  const [old, next] = await Promise.all([read(from), read(to)]);
  if (old["is_standby"] || next["is_standby"]) fail("one of the servers is a standby");
  if (old["wal_level"] !== "logical") fail('"wal_level" of the old server is not "logical"');
  const lowest = categories.length > 0 ? 150_000 : 130_000;
  if (old["version"] < lowest) fail(`the old server is older than PostgreSQL ${lowest / 10_000}`);
  if (next["version"] < lowest) fail(`the new server is older than PostgreSQL ${lowest / 10_000}`);
  for (const category of categories) {
    if (/[-:+]/.test(category) || !category) fail(`"${category}" is no category without types`);
  }
  for (const table of tables) {
    const [found] = await to`select to_regclass(${table}) is not null as is_there`;
    if (!found!["is_there"]) {
      fail(`the new server has no table "${table}": copy it by pg_dump --schema-only`);
    }
    const keys = await from`
      select from pg_index where indrelid = ${table}::regclass and indisprimary`;
    if (keys.length === 0) fail(`the table "${table}" has no primary key`);
  }
}

/** Makes the new store, with the options that the old one has. */
async function prepare(): Promise<void> {
  const { notify, nameIndex } = (await storeStatus(from)).install;
  const partition = categories.length === 0 ? await partitionOf(from) : undefined;
  await install(to, { createDatabase: true, notify, nameIndex, partition });
  if (await isSameStore(from, to)) fail("both addresses lead to the same store");
  if (await hasSubscription()) return;
  const [row] = await to`select exists (select from message_store.messages) as has_messages`;
  if (row!["has_messages"]) fail("the new store has messages already");
}

/** The partition that a database is marked as, by `install`. */
async function partitionOf(sql: postgres.Sql): Promise<PartitionMark | undefined> {
  const [row] = await sql`
    select obj_description('message_store.messages_global_position_seq'::regclass, 'pg_class') as mark`;
  const [, number, of] = /^partition (\d+) of (\d+)$/.exec(row!["mark"] ?? "") ?? [];
  return of === undefined ? undefined : { number: Number(number), of: Number(of) };
}

/** How many messages there are in a range, and a sum that differs if one of them differs. */
async function digest(sql: postgres.Sql, after: string, upTo: string): Promise<string> {
  const [row] = await sql.unsafe(`
    select concat(
      count(*),
      ' messages, checksum ',
      sum(('x' || left(md5(concat_ws(
        ' ', global_position, position, to_char(time, 'YYYY-MM-DD HH24:MI:SS.US'), stream_name, type, data, metadata, id
      )), 15))::bit(60)::bigint)
    ) as digest
    from message_store.messages
    where global_position > ${after} and global_position <= ${upTo} and ${isMoved("stream_name")}`);
  return row!["digest"];
}

async function compare(after: string, upTo: string): Promise<string> {
  const [old, next] = await Promise.all([digest(from, after, upTo), digest(to, after, upTo)]);
  if (old === next) return old;
  return fail(
    `the old store has ${old}, and the new one ${next}` +
      (categories.length > 0
        ? ". Messages that are deleted or changed during a split are not copied: --undo, and begin anew"
        : ""),
  );
}

/** Compares everything up to a position before which nothing can come any more; answers that position. */
async function compareSettled(): Promise<string> {
  const [now] = await from`
    select
      coalesce(max(global_position), 0)::text as last,
      pg_snapshot_xmax(pg_current_snapshot())::text as next
    from message_store.messages`;
  await until("the end of open transactions", async () => {
    const [row] = await from`
      select pg_snapshot_xmin(pg_current_snapshot()) >= ${now!["next"]}::xid8 as is_over`;
    return row!["is_over"];
  });
  const { last } = now!;
  for (let attempt = 1;; attempt++) {
    await replay("insert");
    try {
      done(`Compared up to position ${last}: ${await compare("0", last)}`);
      return last;
    } catch (error) {
      // Messages may be deleted meanwhile.
      if (categories.length > 0 || attempt === 3) throw error;
    }
  }
}

/** Moves the sequences on: a replication does not copy them. */
async function moveSequences(): Promise<void> {
  await install(to);
  const sequences = await from`
    select schemaname, sequencename, last_value::text as last
    from pg_sequences
    where last_value is not null
      and (${categories.length === 0} or schemaname = 'message_store')`;
  for (const { schemaname, sequencename, last } of sequences) {
    // A consumer may have stored a position that no message of these categories has.
    await to`
      select setval(format('%I.%I', schemaname, sequencename)::regclass, ${last}::bigint)
      from pg_sequences
      where schemaname = ${schemaname}
        and sequencename = ${sequencename}
        and coalesce(last_value, 0) < ${last}::bigint`;
  }
  for (const table of categories.length > 0 ? tables : []) await moveIdentities(table);
}

async function moveIdentities(table: string): Promise<void> {
  const columns = await to`
    select attname, pg_get_serial_sequence(${table}, attname) as sequence
    from pg_attribute
    where attrelid = ${table}::regclass
      and attnum > 0
      and not attisdropped
      and pg_get_serial_sequence(${table}, attname) is not null`;
  for (const { attname, sequence } of columns) {
    await to.unsafe(
      `select setval(${text(sequence)}, greatest(max("${attname}"), 1)) from ${table}`,
    );
  }
}

// The steps.

/** Puts right what a run has left that was ended before the switch. */
async function release(): Promise<void> {
  await pooler?.restore();
  if (await doesRefuse()) {
    // Then somebody has led PgBouncer back. New messages are on the new server.
    if (!await hasSubscription()) fail("it has moved already: PgBouncer leads to the old server");
    await setGuard(PASS);
  }
  await pooler?.resume();
}

/** From the first statement that waits to the last one that waited. */
async function switchServers(settled: string): Promise<void> {
  const begun = performance.now();
  last = begun;
  try {
    await pooler?.pause();
    if (pooler) done(`PgBouncer holds statements for "${options.name}"`);
    await refuse(longestPause);
    done("The old store refuses what is moved");
    await replay("flush", longestPause);
    const [end] = await from`
      select coalesce(max(global_position), 0)::text as last from message_store.messages`;
    done(`The new store has the rest: ${await compare(settled, end!["last"])}`);
    await moveSequences();
    done("The sequences have moved on");
    await pooler?.switchOver();
    if (pooler) done("PgBouncer leads to the new server");
    // From here on there is no way back.
    await unsubscribe();
    done("The replication has ended");
  } catch (error) {
    await pooler?.restore();
    await setGuard(PASS);
    await pooler?.resume();
    done("Nothing was switched: statements go on at the old server");
    throw error;
  }
  await pooler?.resume();
  console.log(
    pooler
      ? `Moved: statements go on at the new server, after ${
        Math.round(performance.now() - begun)
      } ms`
      : "Moved: let your programs use the new server for what was moved",
  );
}

/** Goes on after a run that was ended between the switch and its end. */
async function finish(): Promise<void> {
  if (await hasSubscription()) {
    await refuse();
    await replay("flush");
    await moveSequences();
    await unsubscribe();
  }
  await pooler?.resume();
  done("Moved: the end of an earlier run was done");
}

async function run(): Promise<void> {
  if (await isSwitched()) await finish();
  else {
    await release();
    await prepare();
    done("The new store is installed");
    await check();
    await createGuard();
    done("The old store has a guard");
    await publish();
    done("The old server publishes");
    await subscribe();
    done("The new server subscribes");
    await copy();
    done("Copied what was there");
    const settled = await compareSettled();
    // Who ends the program now waits for the switch, or for its end without one.
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => {});
    await switchServers(settled);
  }
  await unpublish();
  done("The old server publishes no more");
}

async function undo(): Promise<void> {
  if (await isSwitched()) fail("the new server has taken over");
  await release();
  await unsubscribe();
  await unpublish();
  await dropGuard();
  done("Undone: drop the new database before you begin anew");
}

try {
  await (options.undo ? undo() : run());
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  await Promise.all([from.end({ timeout: 5 }), to.end({ timeout: 5 })]);
}
