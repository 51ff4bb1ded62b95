import { retryWhileUnavailable } from "../handle/_retry.ts";
import { randomUuid } from "../lib/random_uuid.ts";
import { type Shutdown, type ShutdownControl, shutdownOn } from "../lib/shutdown.ts";
import { abortable, sleep, unlessAborted } from "../lib/wait.ts";
import { memberStreams, waitingStream } from "../names/_own_streams.ts";
import { readStream } from "../read/read_stream.ts";
import { write } from "../write/write.ts";
import type { Thrown } from "./_thrown.ts";
import type { CheckedConsumer } from "./_checked_consumer.ts";
import { lowestPosition } from "./_find_position.ts";
import { closePosition, storePosition } from "./_kept_position.ts";
import { holderOf, type Lease, LeaseLostError } from "./_lease.ts";
import { type Member, openMember } from "./_member.ts";
import { readLastMessages } from "./_read_last_messages.ts";
import { type Bounds, type MemberResult, UNBOUNDED } from "./_run_member.ts";

/** A member that this process has. */
interface Held {
  /** Stops the member: its messages in hand are finished, and its lease is given back. */
  release(): void;
  readonly done: Promise<unknown>;
}

/** A process's share of a group. */
interface Share {
  readonly consumer: CheckedConsumer;
  readonly lease: Lease;
  /** The position streams of the group's members, in their order. */
  readonly streams: readonly string[];
  readonly held: Map<number, Held>;
  /** Stops all members that this process has. */
  readonly shutdown: ShutdownControl;
  failure?: Thrown;
  /** When the process has to write again that it waits, by `Date.now()`. */
  nextWaitingAt: number;
}

/**
 * Consumes as many members of a group as are this process's share.
 *
 * A process claims a member by a lease. The claim is a write that expects the version that the process
 * has seen. If two processes claim a member at once, one write fails. A process that has no member, and
 * finds none free, writes that it waits. Then processes that have more than their share give members back.
 */
export async function consumeShare(consumer: CheckedConsumer, shutdown: Shutdown): Promise<void> {
  const { group, leaseDuration, shutdownTimeout } = consumer;
  const share: Share = {
    consumer,
    lease: { owner: randomUuid(), leaseDuration },
    streams: memberStreams(consumer, group!.size),
    held: new Map(),
    shutdown: shutdownOn([shutdown.stopping], shutdownTimeout),
    nextWaitingAt: 0,
  };
  const { stopping, givingUp, stop, dispose } = share.shutdown;
  let balancing: Promise<void> = Promise.resolve();
  try {
    for (let isFirst = true; !stopping.aborted; isFirst = false) {
      const retrying = { ...consumer, signal: stopping, isFirst };
      await retryWhileUnavailable(() => balancing = balance(share), retrying);
      await sleep(leaseDuration / 3 * (0.8 + Math.random() / 5), stopping);
    }
  } catch (error) {
    if (!stopping.aborted) share.failure ??= { cause: error };
  } finally {
    stop();
    // A member that is being claimed now is given back as well.
    await abortable(balancing, givingUp).catch(() => {});
    await Promise.all([...share.held.values()].map(({ done }) => done));
    dispose();
  }
  if (share.failure) throw share.failure.cause;
}

/** Gives back the members above this process's share, or claims free members up to it. */
async function balance(share: Share): Promise<void> {
  const { consumer, lease, streams, held, shutdown } = share;
  const last = await readLastMessages(consumer.sql, streams);
  const holders = new Map(last.map((message) => [message.streamName, holderOf(message)]));
  const owners = new Set([...holders.values(), lease.owner].filter((it) => it !== undefined));
  const waiting = new Set((await waitingOwners(consumer)).filter((it) => !owners.has(it)));
  const processes = owners.size + waiting.size;
  // A process without a member counts the owners alone, because processes that wait may be gone. If it
  // takes too many members, it gives the excess back later.
  const most = Math.ceil(streams.length / (held.size === 0 ? owners.size : processes));
  const least = Math.max(Math.floor(streams.length / processes), 1);

  const excess = [...held.values()].slice(waiting.size > 0 ? least : most);
  for (const { release } of excess) release();
  for (const [number, name] of streams.entries()) {
    if (held.size >= most || shutdown.stopping.aborted) return;
    if (!held.has(number) && holders.get(name) === undefined) await claim(share, number);
  }
  if (held.size === 0) await writeThatItWaits(share);
}

/** Claims a member, unless another process has, and runs it until it is released. */
async function claim(share: Share, number: number): Promise<void> {
  const { consumer, lease, streams, held, shutdown } = share;
  const member = await openMember(consumer, { member: number, size: streams.length }, lease);
  if (member === undefined) return;
  const memberShutdown = shutdownOn([shutdown.stopping], consumer.shutdownTimeout);
  const done = runWithLease(consumer, member, memberShutdown, UNBOUNDED)
    .catch((error) => {
      share.failure ??= { cause: error };
      shutdown.stop();
    })
    .finally(() => held.delete(number));
  held.set(number, { release: memberShutdown.stop, done });
}

async function writeThatItWaits(share: Share): Promise<void> {
  const { consumer, lease } = share;
  const now = Date.now();
  if (now < share.nextWaitingAt) return;
  share.nextWaitingAt = now + lease.leaseDuration / 2;
  await write(consumer.sql, waitingStream(consumer), { type: "Waiting", data: lease });
}

/** The processes that have written lately that they wait for a member. */
async function waitingOwners(consumer: CheckedConsumer): Promise<string[]> {
  const name = waitingStream(consumer);
  const [last] = await readLastMessages(consumer.sql, [name]);
  if (last === undefined || last.age > consumer.leaseDuration) return [];
  const recent = await readStream<Lease>(consumer.sql, name, {
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

/** Consumes the members that are free, one after another, each until it is caught up. */
export async function drainGroup(
  consumer: CheckedConsumer,
  shutdown: Shutdown,
  bounds: Bounds,
): Promise<MemberResult> {
  const { stopping, givingUp } = shutdown;
  const { leaseDuration } = consumer;
  const size = consumer.group!.size;
  const lease: Lease = { owner: randomUuid(), leaseDuration };
  // Not every process begins with the same member.
  const first = Math.floor(Math.random() * size);
  let handled = 0;
  let caughtUp = true;
  for (let number = first; number < first + size; number++) {
    if (stopping.aborted || handled >= bounds.limit) {
      caughtUp = false;
      break;
    }
    const open = () => openMember(consumer, { member: number % size, size }, lease);
    const opening = retryWhileUnavailable(open, { ...consumer, isFirst: number === first });
    const member = await unlessAborted(opening, givingUp);
    if (member === undefined) {
      // A member that is claimed too late is given back.
      if (givingUp.aborted) opening.then((it) => it && closePosition(it.kept)).catch(() => {});
      caughtUp = false;
      continue;
    }
    const memberShutdown = shutdownOn([stopping], consumer.shutdownTimeout);
    const limit = bounds.limit - handled;
    const result = await runWithLease(consumer, member, memberShutdown, { ...bounds, limit });
    handled += result.handled;
    caughtUp &&= result.caughtUp;
  }
  const findLowest = () => lowestPosition(consumer.sql, consumer, size);
  const lowest = retryWhileUnavailable(findLowest, consumer);
  return { handled, caughtUp, position: await unlessAborted(lowest, givingUp) ?? 0 };
}

/** Runs a member that this process has claimed, and renews its lease meanwhile. */
async function runWithLease(
  consumer: CheckedConsumer,
  member: Member,
  shutdown: ShutdownControl,
  bounds: Bounds,
): Promise<MemberResult> {
  let failure: Thrown | undefined;
  let isRenewing = false;
  const renew = async (): Promise<void> => {
    // While a renewal is under way, no other renewal begins.
    if (isRenewing) return;
    isRenewing = true;
    try {
      await storePosition(member.kept);
    } catch (error) {
      if (error instanceof LeaseLostError) shutdown.giveUp();
      else consumer.onRetry?.(error);
    } finally {
      isRenewing = false;
    }
  };
  const timer = setInterval(() => {
    // Only an error that the caller's `onRetry` throws comes here.
    renew().catch((error) => {
      failure ??= { cause: error };
      shutdown.stop();
    });
  }, consumer.leaseDuration / 3);
  try {
    const result = await member.run(shutdown, bounds);
    if (failure) throw failure.cause;
    return result;
  } finally {
    clearInterval(timer);
    shutdown.dispose();
  }
}
