import { sqlStateOf } from "../handle/_driver_error.ts";
import { type LastMessage, readLastMessages } from "./_stored_positions.ts";
import { sleep } from "../lib/wait.ts";
import type { CheckedConsumer } from "./_checked_consumer.ts";
import { WrongExpectedVersionError } from "../errors.ts";
import { readStream } from "../read/read_stream.ts";
import { streamName } from "../names/stream_name.ts";
import type { ConsumerGroup, Sql } from "../types.ts";
import { NO_STREAM, write } from "../write/write.ts";

/** For how long a position that could be stored is not, in milliseconds. */
const BUSY = 1000;
const IDLE = 250;
/** How long a renewal that is under way is waited for, in milliseconds. */
const RENEWAL = 100;

/** A stored position, as it is known to the one who keeps it. */
export interface Cursor {
  readonly streamName: string;
  /** Up to here, included, everything is handled. */
  readonly position: number;
  /** Goes on to here. What is worth storing is stored in time, the rest when a lot of it has come. */
  pass(position: number, isWorthStoring?: boolean): void;
  /** Whether it is time to store it: sooner where there is nothing to handle. */
  isDue(isIdle?: boolean): boolean;
  /** Stores where it begins, if that is not, and claims the lease; fails where another one was first. */
  open(): Promise<void>;
  /** Stores it, if it is not; a lease is renewed in any case. */
  store(): Promise<void>;
  /** Stores it for the last time, if it is not; a lease is given back. */
  close(): Promise<void>;
  /** Does work in a transaction and stores this position in it. */
  storeWith(
    position: number,
    begin: (work: (sql: Sql) => Promise<void>) => Promise<void>,
    work: (sql: Sql) => Promise<void>,
  ): Promise<void>;
  /** Whether the error says that somebody else has stored a position there. */
  isConflict(error: unknown): boolean;
  /** Whether the error is that of storing the position, not of the work that it is stored with. */
  isOwn(error: unknown): boolean;
  /** Learns what is stored there: it never goes back. */
  reload(): Promise<void>;
}

/** A claim to a position stream, by which one process at a time keeps it. */
export interface Lease {
  readonly owner: string;
  /** For how long it holds, in milliseconds. */
  readonly duration: number;
}

/** Another process keeps the position now. */
export class LeaseLostError extends Error {}

export function positionStream(
  { category, consumerId }: { readonly category: string; readonly consumerId: string },
  ...suffix: readonly string[]
): string {
  return streamName(category, [consumerId, ...suffix], ["position"]);
}

export function memberStream(
  consumer: { readonly category: string; readonly consumerId: string },
  { member, size }: ConsumerGroup,
): string {
  return positionStream(consumer, String(member), String(size));
}

/** The position that a message of a position stream says. */
export function positionOf({ streamName, data }: Pick<LastMessage, "streamName" | "data">): number {
  const { position } = (data ?? {}) as { readonly position?: unknown };
  if (typeof position === "number" && Number.isSafeInteger(position)) return position;
  throw new TypeError(
    `Cannot use the position stream "${streamName}": its last message has no position`,
  );
}

/** Keeps a position stream, from the last message that it has. */
export function keepPosition(
  consumer: Pick<CheckedConsumer, "sql" | "positionUpdateInterval">,
  name: string,
  last: FoundPosition,
  lease?: Lease,
): Cursor {
  const { sql, positionUpdateInterval } = consumer;
  let { position, version } = last;
  let stored = last.stored;
  let storedAt = Date.now();
  let sentAt = Date.now();
  let worthStoring = 0;
  let storing: Promise<void> = Promise.resolve();
  let isClosed = false;
  let isGivenBack = false;
  let isRecording = false;
  let ownError: { readonly error: unknown } | undefined;

  /** The message's time is that of its transaction's start, which can be a while ago. */
  function record(sql: Sql, position: number, age = 0): Promise<number> {
    const metadata = lease && !isClosed
      ? { owner: lease.owner, leaseDuration: lease.duration + age }
      : null;
    const message = { type: "Recorded", data: { position }, metadata };
    return write(sql, name, message, { expectedVersion: version });
  }

  function isStored(at: number): void {
    stored = at;
    storedAt = Date.now();
    if (at >= position) worthStoring = 0;
  }

  async function storeNow(): Promise<void> {
    // A renewal may have come in behind the last one.
    while (!isGivenBack && !isRecording && (stored < position || lease !== undefined)) {
      const at = position;
      const now = Date.now();
      const isLast = isClosed;
      try {
        version = await record(sql, at);
        sentAt = now;
        isGivenBack = isLast;
        return isStored(at);
      } catch (error) {
        if (!cursor.isConflict(error)) throw error;
        await cursor.reload();
      }
    }
  }

  const cursor: Cursor = {
    streamName: name,
    get position() {
      return position;
    },
    pass: (to, isWorthStoring = true) => {
      if (to <= position) return;
      worthStoring += isWorthStoring ? 1 : 0;
      position = to;
    },
    isDue: (isIdle = false) => {
      const now = Date.now();
      // Where no renewal has come through, it may be another's by now.
      if (lease !== undefined && now - sentAt >= lease.duration) return true;
      if (worthStoring >= positionUpdateInterval) return true;
      const isMuch = worthStoring > 0 || position - stored >= positionUpdateInterval;
      return isMuch && now - storedAt >= (isIdle ? IDLE : BUSY);
    },
    open: async () => {
      if (stored >= position && lease === undefined) return;
      sentAt = Date.now();
      version = await record(sql, position);
      isStored(position);
    },
    // One after another: each has to know the version that the one before has made.
    store: () => storing = storing.catch(() => {}).then(storeNow),
    close: () => {
      isClosed = true;
      return cursor.store();
    },
    storeWith: async (to, begin, work) => {
      await storing.catch(() => {});
      let written = NO_STREAM;
      const begunAt = Date.now();
      // A lease is renewed while the work goes on: in vain, at worst, where it has just stored this.
      await begin(async (sql) => {
        await work(sql);
        // A renewal beside it would have it fail, and the work be done again. One that is under way may
        // wait for this connection, though.
        isRecording = true;
        if (lease !== undefined) await Promise.race([storing.catch(() => {}), sleep(RENEWAL)]);
        written = await record(sql, to, Date.now() - begunAt).catch((error) => {
          ownError = { error };
          throw error;
        });
      }).finally(() => isRecording = false);
      version = Math.max(version, written);
      cursor.pass(to);
      isStored(to);
    },
    isConflict: (error) => error instanceof WrongExpectedVersionError && error.streamName === name,
    // In a transaction that has failed, it is the work that has failed.
    isOwn: (error) => ownError?.error === error && sqlStateOf(error) !== "25P02",
    reload: async () => {
      const [last] = await readLastMessages(sql, [name]);
      if (lease !== undefined && last?.metadata?.["owner"] !== lease.owner) {
        throw new LeaseLostError();
      }
      version = last?.version ?? NO_STREAM;
      stored = last === undefined ? 0 : positionOf(last);
      position = Math.max(position, stored);
    },
  };
  return cursor;
}

/** Where to go on. */
export interface FoundPosition {
  readonly position: number;
  /** What is stored in the position stream: lower where others have handled more, 0 for nothing. */
  readonly stored: number;
  /** The version of the position stream. */
  readonly version: number;
  /** Who has it by a lease; undefined for nobody. */
  readonly holder: string | undefined;
}

/** Finds where a consumer's member goes on. */
export async function findPosition(
  consumer: Pick<CheckedConsumer, "sql" | "category" | "consumerId">,
  member: ConsumerGroup | undefined,
  start: () => Promise<number>,
): Promise<FoundPosition> {
  const sizes = await groupSizes(consumer, member?.size);
  const groups = [
    [positionStream(consumer)],
    ...sizes.map((size) => memberStreams(consumer, size)),
  ];
  const stored = await readLastMessages(consumer.sql, groups.flat());
  const last = new Map(stored.map((it) => [it.streamName, it]));
  const own = last.get(member ? memberStream(consumer, member) : positionStream(consumer));

  // Whatever the groups were and are: of what a member has stored, its share up to there is handled.
  const bounds = groups
    .filter((streams) => streams.every((it) => last.has(it)))
    .map((streams) => Math.min(...streams.map((it) => positionOf(last.get(it)!))));
  if (own !== undefined) bounds.push(positionOf(own));
  const position = bounds.length > 0
    ? Math.max(...bounds)
    : await startBefore(consumer.sql, Math.max(await start() - 1, 0), stored);
  return {
    position,
    stored: own ? positionOf(own) : 0,
    version: own?.version ?? NO_STREAM,
    holder: own && holderOf(own),
  };
}

/** Where others have started before: what they have passed since is their own share, and no more. */
async function startBefore(
  sql: Sql,
  position: number,
  others: readonly LastMessage[],
): Promise<number> {
  if (position === 0) return 0;
  const firsts = await Promise.all(
    others.map(({ streamName }) => readStream(sql, streamName, { batchSize: 1 })),
  );
  return Math.min(position, ...firsts.flat().map(positionOf));
}

/** Who has the member whose last stored position this is; undefined for nobody. */
export function holderOf({ metadata, age }: LastMessage): string | undefined {
  const { owner, leaseDuration } = metadata ?? {};
  return typeof owner === "string" && age < Number(leaseDuration) ? owner : undefined;
}

/** The lowest of what a group's members have stored; 0 where one has nothing. */
export async function lowestPosition(
  { sql, ...consumer }: Pick<CheckedConsumer, "sql" | "category" | "consumerId">,
  size: number,
): Promise<number> {
  const streams = memberStreams(consumer, size);
  const stored = await readLastMessages(sql, streams);
  return stored.length < streams.length ? 0 : Math.min(...stored.map(positionOf));
}

export function memberStreams(
  consumer: { readonly category: string; readonly consumerId: string },
  size: number,
): string[] {
  return Array.from({ length: size }, (_, member) => memberStream(consumer, { member, size }));
}

/** The sizes that the consumer's group has had; the one that it has now is remembered. */
async function groupSizes(
  { sql, category, consumerId }: Pick<CheckedConsumer, "sql" | "category" | "consumerId">,
  size: number | undefined,
): Promise<number[]> {
  const name = streamName(category, consumerId, ["group"]);
  const sizes = new Set<number>();
  for (const { type, data } of await readStream<{ size: number }>(sql, name)) {
    if (type === "Sized") sizes.add(data.size);
  }
  if (size !== undefined && !sizes.has(size)) {
    await write(sql, name, { type: "Sized", data: { size } });
    sizes.add(size);
  }
  return [...sizes];
}
