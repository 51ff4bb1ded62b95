import { StoreWentBackError } from "../errors.ts";
import { retryWhileUnavailable } from "../handle/_retry.ts";
import { randomUuid } from "../lib/random_uuid.ts";
import { type Shutdown, type ShutdownControl, shutdownOn } from "../lib/shutdown.ts";
import { abortable, sleep } from "../lib/wait.ts";
import { claimStream, waitingStream } from "../names/_own_streams.ts";
import { readStream } from "../read/read_stream.ts";
import { isForConsumers } from "../subscribe/_reader.ts";
import { waitForNews } from "../subscribe/_watch.ts";
import type { ConsumerGroup } from "../types.ts";
import { NO_STREAM, write } from "../write/write.ts";
import { type CheckedConsumer, membersOf } from "./_checked_consumer.ts";
import {
  ask,
  type Claim,
  type Claimable,
  claimablesOf,
  ClaimLostError,
  holderOf,
  isAsked,
  mayAsk,
  ownerOf,
  TIME_TO_ASK,
} from "./_claim.ts";
import { streamOf } from "./_find_position.ts";
import { isStoreDue, type KeptPosition } from "./_kept_position.ts";
import { openMember } from "./_member.ts";
import { type LastMessage, readLastMessages, recordedPosition } from "./_read_last_messages.ts";
import { readerFor } from "./_reader_for.ts";
import { runMember } from "./_run_member.ts";
import { renewClaim, storePosition, syncPosition } from "./_store_position.ts";
import type { Thrown } from "./_thrown.ts";

/** How long to wait between two looks at the position streams at most, in milliseconds. */
const LONGEST_PAUSE_BETWEEN_LOOKS = 1000;

/** A member that this process has. */
interface Held {
  readonly kept: KeptPosition;
  readonly shutdown: ShutdownControl;
  readonly done: Promise<unknown>;
}

/** A process's share of the members; without a group, the consumer as a whole is the one member. */
interface Share {
  readonly consumer: CheckedConsumer;
  /** Undefined if any process may have the members. */
  readonly claim: Claim | undefined;
  readonly members: readonly (ConsumerGroup | undefined)[];
  /** The position streams of the members, in their order. */
  readonly streams: readonly string[];
  /** By the number of the position stream in `streams`. */
  readonly held: Map<number, Held>;
  /** The members that this process has, and has not caught up with. */
  readonly behind: Set<number>;
  readonly onCaughtUp: (() => void) | undefined;
  /** Stops all members that this process has. */
  readonly shutdown: ShutdownControl;
  failure?: Thrown;
  /** Whether the database has answered. So each later error may be temporary. */
  hasAnswered?: true;
  /** The versions of the streams at the last look. */
  versions: ReadonlyMap<string, number>;
  /** When to look again whether others' members have messages that nobody handles, by `performance.now()`. */
  nextCheckAt: number;
}

/** What the last messages of a member's streams tell. */
interface Seen extends Claimable {
  readonly holder: string | undefined;
}

/**
 * Consumes as many members as are this process's share: without a group, the consumer as a whole.
 *
 * A process claims a member by a write that expects the version that the process has seen. If two processes
 * claim a member at once, one write fails. While nothing happens, nothing is written: the processes look at
 * the position streams, all of them in one statement.
 *
 * If messages wait and the position of another process's member does not move, the owner is asked. If the
 * owner does not answer, it is gone, and the member is free. A process that has no member, and finds none free,
 * writes that it waits. Then processes that have more than their share give members back.
 */
export async function consumeShare(
  consumer: CheckedConsumer,
  shutdown: Shutdown,
  onCaughtUp: (() => void) | undefined,
): Promise<void> {
  const { exclusive, leaseDuration, pollInterval, shutdownTimeout } = consumer;
  const members = membersOf(consumer);
  const share: Share = {
    consumer,
    claim: exclusive ? { owner: randomUuid(), leaseDuration, answers: true } : undefined,
    members,
    streams: members.map((member) => streamOf(consumer, member)),
    held: new Map(),
    behind: new Set(),
    onCaughtUp,
    shutdown: shutdownOn([shutdown.stopping], shutdownTimeout),
    versions: new Map(),
    nextCheckAt: 0,
  };
  const { stopping, givingUp, stop, dispose } = share.shutdown;
  const pause = Math.min(pollInterval, LONGEST_PAUSE_BETWEEN_LOOKS, leaseDuration / 4);
  let looking: Promise<void> = Promise.resolve();
  try {
    while (!stopping.aborted) {
      const retrying = { ...consumer, signal: stopping, isFirst: () => !share.hasAnswered };
      await retryWhileUnavailable(() => looking = look(share), retrying);
      await pauseBetweenLooks(share, pause);
    }
  } catch (error) {
    if (!stopping.aborted) share.failure ??= { cause: error };
  } finally {
    stop();
    // A member that is being claimed now is given back as well.
    await abortable(looking, givingUp).catch(() => {});
    await Promise.all([...share.held.values()].map(({ done }) => done));
    dispose();
  }
  if (share.failure) throw share.failure.cause;
}

/**
 * Waits until the next look. A process that has all members does not look itself while nobody else writes to
 * their streams: it shares a watch with all others that wait on its handle.
 */
async function pauseBetweenLooks(share: Share, pause: number): Promise<void> {
  const { consumer: { sql }, shutdown: { stopping }, streams, held, versions } = share;
  if (held.size < streams.length) {
    return await sleep(pause * (0.8 + Math.random() / 5), stopping);
  }
  const names = [...streams, ...otherStreams(share)];
  let store: string | undefined;
  await waitForNews({
    sql,
    sources: names.map((name) => ["stream", name]),
    pause,
    pollInterval: pause,
    signal: stopping,
    isNews: (heads, storeNow, askedAt) => {
      if (held.size < streams.length || storeNow !== (store ??= storeNow)) return true;
      for (const [at, { kept }] of held) {
        if (heads && (heads[at]?.[0] ?? NO_STREAM) !== kept.version && !kept.isRecording) {
          return true;
        }
        kept.confirmedAt = Math.max(kept.confirmedAt, askedAt);
        if (kept.claim && isStoreDue(kept)) return true;
      }
      const isNew = (name: string, at: number) =>
        (heads![at + streams.length]?.[0] ?? NO_STREAM) !== (versions.get(name) ?? NO_STREAM);
      return heads !== undefined && otherStreams(share).some(isNew);
    },
  });
}

/** The streams that others write to: their questions, and that they wait. */
function otherStreams({ consumer, claim, streams }: Share): string[] {
  return claim ? [...streams.map(claimStream), waitingStream(consumer)] : [];
}

/** Looks at all members: answers questions about its own, and takes its share of those that are free. */
async function look(share: Share): Promise<void> {
  const { consumer, claim, streams, held, shutdown } = share;
  const lookedAt = performance.now();
  const waiting = waitingStream(consumer);
  const lasts = await readLastMessages(consumer.sql, [...streams, ...otherStreams(share)]);
  share.versions = new Map(lasts.map(({ streamName, version }) => [streamName, version]));
  share.hasAnswered = true;
  const seen = claimablesOf(lasts, streams).map((it): Seen => (
    { ...it, holder: claim && holderOf(it.last, it.question) }
  ));
  await Promise.all(
    [...held].map(([at, { kept, shutdown }]) =>
      attend(kept, seen[at]!, lookedAt).catch((error) => {
        if (error instanceof ClaimLostError) shutdown.giveUp();
        // Its run finds that out, too, and goes back.
        else if (!(error instanceof StoreWentBackError)) throw error;
      })
    ),
  );
  const lastWaiting = lasts.find(({ streamName }) => streamName === waiting);
  const most = claim ? await giveBack(share, seen, lastWaiting) : streams.length;
  for (const [at, { holder }] of seen.entries()) {
    if (held.size >= most || shutdown.stopping.aborted) break;
    // This process is the holder if the answer to its claim was lost.
    if (!held.has(at) && (holder === undefined || holder === claim?.owner)) await take(share, at);
  }
  if (claim && lookedAt >= share.nextCheckAt) await askForIdle(share, claim, seen, lookedAt);
}

/** Answers a question about a member of this process, and notices what others have written to its stream. */
async function attend(kept: KeptPosition, { last, question }: Seen, at: number): Promise<void> {
  if (last === undefined || kept.isRecording) return;
  if (last.version > kept.version) return await syncPosition(kept);
  if (last.version < kept.version || kept.claim === undefined) return;
  if (isAsked(last, question)) return await renewClaim(kept);
  kept.confirmedAt = Math.max(kept.confirmedAt, at);
  // While a handler hangs, too: an operator has to see where.
  if (isStoreDue(kept)) await storePosition(kept);
}

/**
 * Gives back the members above this process's share.
 *
 * @returns How many members the process may have.
 */
async function giveBack(
  { consumer, claim, streams, held }: Share,
  seen: readonly Seen[],
  lastWaiting: LastMessage | undefined,
): Promise<number> {
  if (streams.length === 1) return 1;
  const counts = new Map<string, number>([[claim!.owner, 0]]);
  for (const { holder } of seen) if (holder) counts.set(holder, (counts.get(holder) ?? 0) + 1);
  // Then nobody has one to give.
  const isFull = seen.every(({ holder }) => holder !== undefined) &&
    [...counts.values()].every((count) => count <= 1);
  const waiting = isFull
    ? []
    : (await waitingOwners(consumer, lastWaiting)).filter((it) => !counts.has(it));
  const processes = counts.size + new Set(waiting).size;
  // A process without a member counts the owners alone, because processes that wait may be gone. If it
  // takes too many members, it gives the excess back later.
  const ceiling = Math.ceil(streams.length / (held.size === 0 ? counts.size : processes));
  const floor = Math.max(Math.floor(streams.length / processes), 1);
  const most = waiting.length > 0 && held.size > 0 ? floor : ceiling;
  for (const { shutdown } of [...held.values()].slice(most)) shutdown.stop();
  return most;
}

/** Takes a member, unless another process has it, and runs it until it is given back. */
async function take(share: Share, at: number): Promise<void> {
  const { consumer, claim, members, held, behind, shutdown } = share;
  const member = await openMember(consumer, members[at], claim);
  const hasIt = await member.claim().catch(async (error) => {
    // A standby takes no claim. Before that is retried, a read tells whether all messages can be read there.
    if (share.nextCheckAt === 0) await member.reader.read(member.kept.position + 1);
    throw error;
  });
  if (!hasIt) return;
  const memberShutdown = shutdownOn([shutdown.stopping], consumer.shutdownTimeout);
  behind.add(at);
  const onCaughtUp = (isCaughtUp: boolean) => {
    if (!isCaughtUp) behind.add(at);
    else if (behind.delete(at) && behind.size === 0) share.onCaughtUp?.();
  };
  const done = runMember(member, memberShutdown, { ...UNBOUNDED, onCaughtUp })
    .catch((error) => {
      share.failure ??= { cause: error };
      shutdown.stop();
    })
    .finally(() => {
      memberShutdown.dispose();
      behind.delete(at);
      held.delete(at);
    });
  held.set(at, { kept: member.kept, shutdown: memberShutdown, done });
}

const UNBOUNDED = { untilCaughtUp: false, limit: Infinity, deadline: Infinity };

/**
 * Asks the owners of members that have messages to handle, and have not written for a while. Writes that this
 * process waits, if there is no free member and another process has several.
 */
async function askForIdle(
  share: Share,
  claim: Claim,
  seen: readonly Seen[],
  now: number,
): Promise<void> {
  const { consumer, members, held } = share;
  const isFirst = share.nextCheckAt === 0;
  share.nextCheckAt = now + consumer.leaseDuration * TIME_TO_ASK;
  for (const [at, { last, question, holder }] of seen.entries()) {
    if (holder === undefined || held.has(at) || !mayAsk(last!, question)) continue;
    // The first time without a reason: this process may come after one that was killed.
    if (isFirst || await isBehind(consumer, members[at], last!)) {
      await ask(consumer.sql, claim.owner, last!, question);
    }
  }
  const isFree = seen.some(({ holder }) => holder === undefined);
  const owners = seen.map(({ last }) => ownerOf(last));
  const hasMore = owners.some((owner, at) => owners.indexOf(owner) !== at);
  if (held.size === 0 && !isFree && hasMore) {
    const { owner, leaseDuration } = claim;
    const data = { owner, leaseDuration };
    await write(consumer.sql, waitingStream(consumer), { type: "Waiting", data });
  }
}

/** Whether there are messages behind a member's stored position. */
async function isBehind(
  consumer: CheckedConsumer,
  member: ConsumerGroup | undefined,
  last: LastMessage,
): Promise<boolean> {
  // What a replica lacks is left, too.
  const reader = readerFor({ ...consumer, readFrom: undefined }, member);
  const { messages, atEnd } = await reader.read(recordedPosition(last) + 1);
  return !atEnd || Array.from(messages()).some((message) => isForConsumers(reader, message));
}

/** The processes that have written lately that they wait for a member. */
async function waitingOwners(
  consumer: CheckedConsumer,
  last: LastMessage | undefined,
): Promise<string[]> {
  if (last === undefined || Math.abs(last.age) > consumer.leaseDuration) return [];
  const recent = await readStream<Claim>(consumer.sql, last.streamName, {
    direction: "backward",
    batchSize: 100,
  });
  // `last.age` is by the server's clock. So the ages are counted back from it, and not from the
  // clock of this process.
  const latest = Number(recent[0]?.time);
  return recent
    .filter(({ time, data }) => last.age + latest - Number(time) < data.leaseDuration)
    .map(({ data }) => data.owner);
}
