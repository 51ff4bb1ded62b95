/** Writers, consumers and readers of a category, which go on whatever happens to the server, and count. */
import type postgres from "postgres";
import {
  consume,
  type ConsumerIdentity,
  groupCommit,
  type GroupedWrite,
  type Message,
  type MessageInput,
  readAll,
  StoreWentBackError,
  subscribe,
  write,
  writeBatch,
  WrongExpectedVersionError,
} from "../../mod.ts";
import { isPassing } from "../../src/handle/_retry.ts";

/** Where the load goes, and what of it. */
export interface LoadOptions {
  /** Makes a handle, which the load ends. */
  readonly connect: (max: number) => postgres.Sql;
  readonly category: string;
  /** Whether all streams are read too, by `subscribe` and in a loop of `readAll`. */
  readonly readsAll: boolean;
  /** Passing errors that no caller should get: none of them is retried. */
  readonly isForbidden?: (error: unknown) => boolean;
  /** A `groupCommit` that other loads use too. */
  readonly grouped?: GroupedWrite;
}

/** A message that was acknowledged. */
interface Acknowledged {
  readonly streamName: string;
  readonly position: number;
  readonly isAfter: boolean;
}

/** What a reader has seen. */
interface Reader {
  readonly seen: Set<string>;
  /** Messages that it had seen when it was told that the store went back. */
  readonly told: Set<string>;
  timesTold: number;
  /** Messages that came before another that should have been first. */
  outOfOrder: number;
}

export interface LoadReport {
  readonly acknowledged: number;
  readonly acknowledgedAfter: number;
  /** Acknowledged messages that are not in the store. */
  readonly lost: number;
  /** Lost messages that neither their writer nor a reader was told of. */
  readonly untold: number;
  /** Messages of the store that no write was acknowledged for: those of a write that was done twice. */
  readonly doubled: number;
  /** Acknowledged messages that are elsewhere than was answered. */
  readonly misplaced: number;
  /** Streams with a missing position. */
  readonly brokenStreams: number;
  /** Messages of the store that a reader has not seen. */
  readonly unseen: Readonly<Record<string, number>>;
  /** What readers saw in another order than that of the store. */
  readonly outOfOrder: Readonly<Record<string, number>>;
  /** How often each reader was told that the store went back. */
  readonly timesTold: Readonly<Record<string, number>>;
  /** Readers that saw lost messages, and were not told. */
  readonly readersNotTold: readonly string[];
  /** Effects of the transactional consumer that are missing, doubled, or out of order. */
  readonly wrongEffects: number;
  /** Its effects of lost messages: of a page that it had read, and handled on the other server. */
  readonly effectsOfLost: number;
  /** How often a write was sent again. */
  readonly retriedWrites: number;
  /** Errors that are no passing trouble. */
  readonly wrongErrors: readonly string[];
  /** The longest time that a write took, with its retries, in milliseconds. */
  readonly longestWrite: number;
}

export interface Load {
  readonly acknowledged: ReadonlyMap<string, Acknowledged>;
  readonly readers: Readonly<Record<string, { readonly seen: ReadonlySet<string> }>>;
  /** From now on, what is begun and acknowledged counts as written after the event. */
  markAfter(): void;
  stopWriters(): Promise<void>;
  /** Waits until every reader has seen all that the store has, and ends them. */
  stopReaders(sql: postgres.Sql): Promise<void>;
  report(sql: postgres.Sql): Promise<LoadReport>;
}

const POLL = 50;

/** Writes messages at a version, and answers the position of the last one. */
type Send = (
  streamName: string,
  messages: readonly MessageInput[],
  expectedVersion: number,
) => Promise<number>;

export function sleepFor(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

export async function awaited(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!await isSo()) await sleepFor(10);
}

/** The table of the transactional consumer's effects. */
export function effectsTable(category: string): string {
  return `
    create table effects_${category} (
      at bigint generated always as identity primary key,
      id uuid not null,
      global_position bigint not null
    )`;
}

export function startLoad(options: LoadOptions): Load {
  const { connect, category, readsAll, isForbidden } = options;
  const writing = new AbortController();
  const reading = new AbortController();
  const acknowledged = new Map<string, Acknowledged>();
  const toldStreams = new Set<string>();
  const wrongErrors: string[] = [];
  const handles: postgres.Sql[] = [];
  let isAfter = false;
  let retriedWrites = 0;
  let longestWrite = 0;

  const open = (max: number) => {
    const sql = connect(max);
    handles.push(sql);
    return sql;
  };
  const check = (error: unknown) => {
    if (error instanceof StoreWentBackError) return;
    if (!isPassing(error) || isForbidden?.(error)) wrongErrors.push(String(error));
  };

  /** Sends a write with the same ids until it is answered. */
  async function untilAnswered<T>(work: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    for (;;) {
      try {
        const answer = await work();
        longestWrite = Math.max(longestWrite, performance.now() - begun);
        return answer;
      } catch (error) {
        if (error instanceof WrongExpectedVersionError) throw error;
        check(error);
        retriedWrites++;
        await sleepFor(20);
      }
    }
  }

  /** Writes to a stream that nobody else writes to, each time at the version that it knows. */
  async function writeStream(
    streamName: string,
    size: number,
    send: Send,
  ): Promise<void> {
    let version = -1;
    while (!writing.signal.aborted) {
      const messages = Array.from(
        { length: size },
        () => ({ id: crypto.randomUUID(), type: "Written" }),
      );
      const began = isAfter;
      try {
        const last = await untilAnswered(() => send(streamName, messages, version));
        messages.forEach(({ id }, at) =>
          acknowledged.set(id, {
            streamName,
            position: last - size + 1 + at,
            isAfter: began,
          })
        );
        version = last;
      } catch (error) {
        const { actualVersion } = error as WrongExpectedVersionError;
        if (!(actualVersion < version)) wrongErrors.push(String(error));
        toldStreams.add(streamName);
        version = actualVersion;
      }
    }
  }

  const sql = open(8);
  const grouped = options.grouped ?? groupCommit(open(4));
  const each = (kind: string, count: number, size: number, send: Send) =>
    Array.from({ length: count }, (_, at) => writeStream(`${category}-${kind}${at}`, size, send));
  const writers = [
    ...each(
      "plain",
      4,
      1,
      (streamName, [message], expectedVersion) =>
        write(sql, streamName, message!, { expectedVersion }),
    ),
    ...each(
      "batch",
      2,
      3,
      (streamName, messages, expectedVersion) =>
        writeBatch(sql, streamName, messages, { expectedVersion }),
    ),
    ...each(
      "group",
      8,
      1,
      (streamName, [message], expectedVersion) =>
        grouped(streamName, message!, { expectedVersion }),
    ),
  ];

  const readers: Record<string, Reader> = {};
  const running: Promise<unknown>[] = [];
  const newReader = (name: string): Reader =>
    readers[name] = { seen: new Set(), told: new Set(), timesTold: 0, outOfOrder: 0 };
  const tell = (reader: Reader) => {
    reader.timesTold++;
    for (const id of reader.seen) reader.told.add(id);
  };

  function startConsumer(
    name: string,
    more: Pick<ConsumerIdentity, "consumerGroup">,
    effect?: true,
  ): void {
    const reader = newReader(name);
    const last = new Map<string, number>();
    const onRetry = (error: unknown) => {
      check(error);
      if (!(error instanceof StoreWentBackError)) return;
      tell(reader);
      last.clear();
    };
    const handled = ({ id, streamName, position }: Message) => {
      if (reader.seen.has(id)) return;
      if (position <= (last.get(streamName) ?? -1)) reader.outOfOrder++;
      last.set(streamName, position);
      reader.seen.add(id);
    };
    const common = { category, consumerId: name, pollInterval: POLL, onRetry, leaseDuration: 2000 };
    const { signal } = reading;
    running.push(
      effect
        ? consume(open(2), {
          ...common,
          transactional: true,
          handle: async ({ id, globalPosition }, { sql }) => {
            await sql`
              insert into ${sql(`effects_${category}`)} (id, global_position)
              values (${id}, ${globalPosition})`;
          },
        }, { signal })
        : consume(open(2), { ...common, handle: handled, ...more }, { signal }),
    );
  }

  /** Follows a source, and begins anew when the store went back. */
  async function follow(name: string, source: string): Promise<void> {
    const reader = newReader(name);
    const handle = open(2);
    const { signal } = reading;
    while (!signal.aborted) {
      let last = 0;
      try {
        for await (
          const { id, globalPosition } of subscribe(handle, source, {
            signal,
            pollInterval: POLL,
            onRetry: check,
          })
        ) {
          if (globalPosition <= last) reader.outOfOrder++;
          last = globalPosition;
          reader.seen.add(id);
        }
      } catch (error) {
        check(error);
        if (!(error instanceof StoreWentBackError)) continue;
        tell(reader);
        reader.seen.clear();
      }
    }
  }

  /** Reads each page from the last message on, so that the page says whether that message is still there. */
  async function readInLoop(name: string): Promise<void> {
    const reader = newReader(name);
    const handle = open(2);
    let last: Message | undefined;
    while (!reading.signal.aborted) {
      const position = last?.globalPosition ?? 1;
      const page = await readAll(handle, { position }).catch((error) => void check(error));
      if (page === undefined) await sleepFor(20);
      else if (last !== undefined && page[0]?.id !== last.id) {
        tell(reader);
        reader.seen.clear();
        last = undefined;
      } else {
        for (const message of page) {
          if (message.globalPosition < (last?.globalPosition ?? 0)) reader.outOfOrder++;
          reader.seen.add(message.id);
          last = message;
        }
        if (page.length < 100) await sleepFor(20);
      }
    }
  }

  startConsumer("plain", {});
  startConsumer("group", { consumerGroup: { size: 2 } });
  startConsumer("effects", {}, true);
  running.push(follow("category", category));
  if (readsAll) running.push(follow("all", "$all"), readInLoop("loop"));
  for (const promise of running) promise.catch((error) => wrongErrors.push(String(error)));

  const seenByReaders = () => Object.entries(readers).filter(([name]) => name !== "effects");
  return {
    acknowledged,
    readers,
    markAfter: () => isAfter = true,
    stopWriters: async () => {
      writing.abort();
      await Promise.all(writers);
    },
    stopReaders: async (sql) => {
      const stored = await storedIn(sql, category);
      await awaited(async () => {
        if (wrongErrors.length > 0) return true;
        const [effects] = await sql`
          select count(distinct id)::int as count from ${sql(`effects_${category}`)}`;
        return effects!["count"] >= stored.length &&
          seenByReaders().every(([, { seen }]) => stored.every(({ id }) => seen.has(id)));
      });
      reading.abort();
      await Promise.allSettled(running);
      await Promise.all(handles.map((handle) => handle.end({ timeout: 5 })));
    },
    report: async (sql) => {
      const stored = await storedIn(sql, category);
      const places = new Map(stored.map((it) => [it.id, it]));
      const entries = [...acknowledged];
      const lost = entries.filter(([id]) => !places.has(id));
      const untold = lost.filter(([id, { streamName }]) =>
        !toldStreams.has(streamName) && !seenByReaders().some(([, { told }]) => told.has(id))
      );
      const misplaced = entries.filter(([id, { streamName, position }]) => {
        const place = places.get(id);
        return place && (place.streamName !== streamName || place.position !== position);
      });
      const of = <T>(value: (reader: Reader) => T): Record<string, T> =>
        Object.fromEntries(seenByReaders().map(([name, reader]) => [name, value(reader)]));
      const [counts] = await sql`
        select count(*)::int as broken
        from (
          select
          from message_store.messages
          where message_store.category(stream_name) = ${category}
          group by stream_name
          having count(*) <> max(position) + 1 or min(position) <> 0
        ) as streams`;
      const [effects] = await sql`
        select (
            select count(*)
            from (
              select id
              from ${sql(`effects_${category}`)}
              group by id
              having count(*) > 1
            ) as doubled
          )::int
          + (
            select count(*)
            from message_store.messages
            where message_store.category(stream_name) = ${category}
              and not exists (
                select from ${sql(`effects_${category}`)} as effect where effect.id = messages.id
              )
          )::int
          + (
            select count(*)
            from (
              select global_position < lag(global_position) over (order by at) as is_late
              from ${sql(`effects_${category}`)} as effect
              where exists (select from message_store.messages where messages.id = effect.id)
            ) as effect
            where is_late
          )::int as wrong,
          (
            select count(*)
            from ${sql(`effects_${category}`)} as effect
            where not exists (select from message_store.messages where messages.id = effect.id)
          )::int as lost`;
      return {
        acknowledged: acknowledged.size,
        acknowledgedAfter: entries.filter(([, { isAfter }]) => isAfter).length,
        lost: lost.length,
        untold: untold.length,
        doubled: stored.filter(({ id }) => !acknowledged.has(id)).length,
        misplaced: misplaced.length,
        brokenStreams: counts!["broken"],
        unseen: of(({ seen }) => stored.filter(({ id }) => !seen.has(id)).length),
        outOfOrder: of(({ outOfOrder }) => outOfOrder),
        timesTold: of(({ timesTold }) => timesTold),
        readersNotTold: seenByReaders().filter(([, { seen, told }]) =>
          lost.some(([id]) => seen.has(id) && !told.has(id))
        ).map(([name]) => name),
        wrongEffects: effects!["wrong"],
        effectsOfLost: effects!["lost"],
        retriedWrites,
        wrongErrors: [...new Set(wrongErrors)],
        longestWrite: Math.round(longestWrite),
      };
    },
  };
}

interface Stored {
  readonly id: string;
  readonly streamName: string;
  readonly position: number;
}

async function storedIn(sql: postgres.Sql, category: string): Promise<Stored[]> {
  return await sql<Stored[]>`
    select id::text as id, stream_name as "streamName", position::int as position
    from message_store.messages
    where message_store.category(stream_name) = ${category}
    order by global_position`;
}
