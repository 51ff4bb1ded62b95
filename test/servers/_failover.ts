/** A failover under load: the primary is killed, the standby is promoted, and everything goes on. */
import postgres from "postgres";
import { type Pair, startPair } from "../_pair.ts";
import { type Pgbouncer, startPgbouncer } from "../runtimes/_pgbouncer.ts";
import { awaited, effectsTable, type Load, type LoadReport, sleepFor, startLoad } from "./_load.ts";

/** How to fail over. */
export interface FailoverOptions {
  /** How long the load goes on, half of it before the failover, in seconds. */
  readonly seconds: number;
  /** Whether each commit waits for the standby. If not, the standby is behind when the primary dies. */
  readonly mode: "sync" | "async";
  /** The program of PgBouncer, if the load is to go through one. */
  readonly pgbouncer?: string | undefined;
}

const CATEGORY = "account";
/** How far the standby is behind, in messages. */
const BEHIND = 100;

export async function failOver(
  { seconds, mode, pgbouncer: command }: FailoverOptions,
): Promise<LoadReport & { readonly writesStoodStill: number }> {
  const pair = await startPair();
  let pgbouncer: Pgbouncer | undefined;
  try {
    const { onPrimary, onStandby, primary, standby } = pair;
    await onPrimary.unsafe(effectsTable(CATEGORY));
    if (mode === "sync") await waitForStandby(pair);
    pgbouncer = command === undefined ? undefined : await startPgbouncer(command, primary.url, 20);
    const url = pgbouncer?.url ?? urlOfBoth(pair);
    const load = startLoad({
      connect: (max) =>
        postgres(url, {
          max,
          prepare: false,
          fetch_types: false,
          connect_timeout: 3,
          backoff: false,
          onnotice: () => {},
        }),
      category: CATEGORY,
      readsAll: true,
    });

    await awaited(() => load.acknowledged.size > 100);
    await sleepFor(seconds * 500);
    if (mode === "async") await fallBehind(pair, load);
    const killedAt = performance.now();
    pair.killPrimary();
    await onStandby`select pg_promote()`;
    await pgbouncer?.leadTo(standby.url);
    const { size } = load.acknowledged;
    load.markAfter();
    await awaited(() => load.acknowledged.size > size);
    const writesStoodStill = Math.round(performance.now() - killedAt);
    await sleepFor(seconds * 500);
    await load.stopWriters();
    await load.stopReaders(onStandby);
    return { ...await load.report(onStandby), writesStoodStill };
  } finally {
    await pgbouncer?.stop();
    await pair.stop();
  }
}

function urlOfBoth({ primary, standby }: Pair): string {
  const hosts = [primary.url, standby.url].map((url) => new URL(url).host).join();
  const { username, password } = new URL(primary.url);
  return `postgres://${username}:${password}@${hosts}/message_store?target_session_attrs=primary`;
}

async function waitForStandby({ onPrimary }: Pair): Promise<void> {
  await onPrimary`alter system set synchronous_standby_names = '*'`;
  await onPrimary`select pg_reload_conf()`;
  await awaited(async () =>
    (await onPrimary`select from pg_stat_replication where sync_state = 'sync'`).length === 1
  );
}

/** Cuts the standby off, until all readers have seen messages that it does not have. */
async function fallBehind({ onPrimary, onStandby }: Pair, load: Load): Promise<void> {
  await onStandby`alter system set primary_conninfo = ''`;
  await onStandby`select pg_reload_conf()`;
  await awaited(async () => (await onPrimary`select from pg_stat_replication`).length === 0);
  const before = new Set(load.acknowledged.keys());
  await awaited(() => load.acknowledged.size > before.size + BEHIND);
  const late = [...load.acknowledged.keys()].filter((id) => !before.has(id)).slice(0, BEHIND);
  const readers = Object.entries(load.readers).filter(([name]) => name !== "effects");
  await awaited(() => readers.every(([, { seen }]) => late.every((id) => seen.has(id))));
}
