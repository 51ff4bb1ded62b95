import { storeFor } from "../handle/_store_for.ts";
import { ask, type Claimable, claimablesOf, holderOf, isAsked } from "../consume/_claim.ts";
import { readLastMessages } from "../consume/_read_last_messages.ts";
import type { ConsumerIdentity } from "../consume/consumer.ts";
import { randomUuid } from "../lib/random_uuid.ts";
import { sleep } from "../lib/wait.ts";
import {
  claimStream,
  groupStream,
  memberStreams,
  parkedStream,
  positionStream,
  replayStream,
  waitingStream,
} from "../names/_own_streams.ts";
import { readStream } from "../read/read_stream.ts";
import type { Sql } from "../types.ts";
import { NO_STREAM } from "../write/write.ts";
import { deleteOwnMessages, type StreamToDelete } from "./_delete_streams.ts";
import { retryConflicts } from "./_retry_conflicts.ts";
import { checkMayDelete, readSession } from "./_session.ts";
import { checkWhole, type Identity, wordsFor } from "./_whole_consumer.ts";

/** How long to wait between two looks at who holds the consumer, in milliseconds. */
const LOOK_PAUSE = 100;
/** How many times a removal is tried, if the consumer's streams move. */
const MOST_REMOVALS = 20;

/**
 * Removes a consumer from the store: its positions, those of its members, its claims, the sizes of its group,
 * and what it has parked. A consumer of the same name begins anew.
 *
 * End the consumer first. `remove` refuses a consumer that a process holds. A process that does not answer
 * within its lease is gone, and does not stop the removal: by default, that takes 20 seconds. (A consumer with
 * `exclusive: false` holds nothing, so nothing tells that it runs.)
 *
 * All is removed or, on any error, nothing. Messages of the application stay, and so do messages of its own
 * that it has written to streams of such names.
 *
 * @example
 * ```ts
 * import { remove } from "@messagedb/client/operate";
 * import postgres from "postgres";
 *
 * const sql = postgres("postgres://postgres@localhost/message_store");
 * await remove(sql, { category: "account", consumerId: "letters" });
 * ```
 *
 * @param sql The handle, of a role that may delete: `grant delete on message_store.messages to operator`.
 * @param consumer The consumer's names. `consumerGroup` may be there, without `member`: the whole consumer is
 * removed.
 * @returns How many messages were removed; 0 if the store has nothing of the consumer.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {Error} If a process holds the consumer, or if the role may not delete.
 * @throws {TypeError} If the consumer's names are invalid, or a member is named.
 */
export async function remove(sql: Sql, consumer: ConsumerIdentity): Promise<number> {
  const identity = checkWhole(consumer);
  const store = storeFor(sql, identity.category);
  const what = `remove ${wordsFor(identity)}`;
  const { isCurrent } = await checkMayDelete(store, what);
  if (!isCurrent) {
    throw new Error(
      `Cannot ${what}: it has to see what others commit: use the isolation level READ COMMITTED`,
    );
  }
  for (let tries = 1; tries <= MOST_REMOVALS; tries++) {
    const streams = await whenFree(store, identity, what);
    const removed = await retryConflicts(() => deleteOwnMessages(store, streams));
    if (removed !== null) return removed;
  }
  throw new Error(`Cannot ${what}: a process writes to its streams all the time: end it first`);
}

/** Waits until no process holds the consumer, and finds its streams. */
async function whenFree(sql: Sql, identity: Identity, what: string): Promise<StreamToDelete[]> {
  const asker = randomUuid();
  /** The versions of the streams of held positions, when they were first seen to be held. */
  const versions = new Map<string, number>();
  for (;;) {
    const { positions, streams } = await lookAt(sql, identity);
    const held = positions.filter(({ last, question }) => holderOf(last, question) !== undefined);
    if (held.length === 0) return streams;
    for (const { last, question } of held) {
      const { streamName, version, metadata } = last!;
      if ((versions.get(streamName) ?? version) !== version) {
        throw new Error(
          `Cannot ${what}: a process has it, which has just shown that it runs: end it first`,
        );
      }
      versions.set(streamName, version);
      if (metadata!["answers"] !== true || isAsked(last!, question)) continue;
      await ask(sql, asker, last!, question);
      // The question is visible to others when the transaction has ended.
      if ((await readSession(sql)).hasWritten) {
        throw new Error(
          `Cannot ${what}: a process may have it, and a transaction cannot ask that process`,
        );
      }
    }
    await sleep(LOOK_PAUSE);
  }
}

/** What the store has of a consumer. */
interface StreamsNow {
  readonly positions: readonly Claimable[];
  readonly streams: StreamToDelete[];
}

async function lookAt(sql: Sql, identity: Identity): Promise<StreamsNow> {
  const sizes = groupStream(identity);
  const sized = await readStream<{ size?: unknown } | null>(sql, sizes, { batchSize: 1_000_000 });
  const members = [...new Set(sized.map(({ data }) => data?.size))]
    .filter((size): size is number => Number.isInteger(size))
    .filter((size) => size >= 1 && size <= 32767)
    .flatMap((size) => memberStreams(identity, size));
  const names = [positionStream(identity), replayStream(identity), ...members];
  const lasts = await readLastMessages(sql, [...names, ...names.map(claimStream)]);
  const positions = claimablesOf(lasts, names);
  return {
    positions,
    streams: [
      ...names.map((name, at) => ({ name, version: positions[at]!.last?.version ?? NO_STREAM })),
      ...names.map((name) => ({ name: claimStream(name) })),
      { name: sizes, version: sized.at(-1)?.position ?? NO_STREAM },
      { name: waitingStream(identity) },
      { name: parkedStream(identity) },
    ],
  };
}
