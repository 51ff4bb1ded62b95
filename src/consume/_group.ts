import { holderOf, type Lease, LeaseLostError, lowestPosition, memberStreams } from "./_cursor.ts";
import { type Shutdown, type ShutdownControl, shutdownOn } from "../lib/shutdown.ts";
import { type Bounds, type Member, type MemberRun, openMember, UNBOUNDED } from "./_member.ts";
import { readLastMessages } from "./_stored_positions.ts";
import { retryWhileLost } from "../handle/_retry.ts";
import { abortable, sleep } from "../lib/wait.ts";
import type { CheckedConsumer } from "./_checked_consumer.ts";
import { readStream } from "../read/read_stream.ts";
import { streamName } from "../names/stream_name.ts";
import { write } from "../write/write.ts";

/** A member that this process has. */
interface Held {
  /** Ends it, as the end of all does. */
  release(): void;
  readonly done: Promise<void>;
}

/**
 * Consumes the members of a group that are this process's share.
 *
 * A member is whose claim is the last message of its position stream, for as long as that says. Whoever
 * claims it, or stores a position, expects the version of the stream that they have seen: of two, one
 * fails. Processes that have less than their share, and find nothing free, write that they wait; those
 * that have more than theirs then give back.
 */
export async function consumeShare(consumer: CheckedConsumer, ending: Shutdown): Promise<void> {
  const { group, leaseDuration: duration } = consumer;
  const size = group!.size;
  const lease: Lease = { owner: crypto.randomUUID(), duration };
  const streams = memberStreams(consumer, size);
  const held = new Map<number, Held>();
  const all = shutdownOn([ending.stopping], consumer.shutdownTimeout);
  let failure: { readonly error: unknown } | undefined;
  let waitsUntil = 0;
  let balancing: Promise<void> = Promise.resolve();

  async function take(number: number): Promise<void> {
    const member = await openMember(consumer, { member: number, size }, lease);
    if (member === undefined) return;
    const own = shutdownOn([all.stopping], consumer.shutdownTimeout);
    const done = runHeld(consumer, member, own, UNBOUNDED)
      .then(() => {}, (error) => {
        failure ??= { error };
        all.stop();
      })
      .finally(() => held.delete(number));
    held.set(number, { release: own.stop, done });
  }

  async function balance(): Promise<void> {
    const last = await readLastMessages(consumer.sql, streams);
    const holders = new Map(last.map((it) => [it.streamName, holderOf(it)]));
    const owners = new Set([...holders.values(), lease.owner].filter((it) => it !== undefined));
    const waiting = new Set((await waitingOwners(consumer)).filter((it) => !owners.has(it)));
    const processes = owners.size + waiting.size;
    // One who has nothing takes what is free, for those that wait may be gone, and gives it back later.
    const share = Math.ceil(size / (held.size === 0 ? owners.size : processes));

    const least = Math.max(Math.floor(size / processes), 1);
    const excess = [...held.values()].slice(waiting.size > 0 ? least : share);
    for (const { release } of excess) release();
    for (const [number, name] of streams.entries()) {
      if (held.size >= share || all.stopping.aborted) return;
      if (!held.has(number) && holders.get(name) === undefined) await take(number);
    }
    if (held.size === 0 && Date.now() >= waitsUntil) {
      waitsUntil = Date.now() + duration / 2;
      await write(consumer.sql, waitingStream(consumer), {
        type: "Waiting",
        data: { owner: lease.owner, leaseDuration: duration },
      });
    }
  }

  try {
    for (let isFirst = true; !all.stopping.aborted; isFirst = false) {
      // What has never worked may never do.
      const retrying = { ...consumer, signal: all.stopping, ...(isFirst && { attempts: 1 }) };
      await retryWhileLost(() => balancing = balance(), retrying);
      await sleep(duration / 3 * (0.8 + Math.random() / 5), all.stopping);
    }
  } catch (error) {
    if (!all.stopping.aborted) failure ??= { error };
  } finally {
    all.stop();
    // What it is taking now is given back, too.
    await abortable(balancing, all.givingUp).catch(() => {});
    await Promise.all([...held.values()].map(({ done }) => done));
    all.dispose();
  }
  if (failure) throw failure.error;
}

/** Consumes one member after another of those that are free, each until it is caught up. */
export async function drainGroup(
  consumer: CheckedConsumer,
  ending: Shutdown,
  bounds: Bounds,
): Promise<MemberRun> {
  const size = consumer.group!.size;
  const lease: Lease = { owner: crypto.randomUUID(), duration: consumer.leaseDuration };
  const first = Math.floor(Math.random() * size);
  let handled = 0;
  let caughtUp = true;
  for (let number = first; number < first + size; number++) {
    if (ending.stopping.aborted || handled >= bounds.limit) {
      caughtUp = false;
      break;
    }
    const opening = openMember(consumer, { member: number % size, size }, lease);
    const member = await unless(ending.givingUp, opening, undefined);
    if (member === undefined) {
      // What is claimed too late is given back.
      if (ending.givingUp.aborted) opening.then((it) => it?.cursor.close()).catch(() => {});
      caughtUp = false;
      continue;
    }
    const own = shutdownOn([ending.stopping], consumer.shutdownTimeout);
    const run = await runHeld(consumer, member, own, { ...bounds, limit: bounds.limit - handled });
    handled += run.handled;
    caughtUp &&= run.caughtUp;
  }
  return {
    handled,
    caughtUp,
    position: await unless(ending.givingUp, lowestPosition(consumer, size), 0),
  };
}

/** What the work comes to, or this where the signal aborts before. */
async function unless<T, U>(signal: AbortSignal, work: Promise<T>, otherwise: U): Promise<T | U> {
  try {
    return await abortable(work, signal);
  } catch (error) {
    if (error !== signal.reason) throw error;
    return otherwise;
  }
}

/** Runs a member that this process has claimed, and renews the claim meanwhile. */
async function runHeld(
  consumer: CheckedConsumer,
  member: Member,
  own: ShutdownControl,
  bounds: Bounds,
): Promise<MemberRun> {
  let failure: { readonly error: unknown } | undefined;
  let isRenewing = false;
  const renew = async () => {
    // A store that takes long renews it when it is done.
    if (isRenewing) return;
    isRenewing = true;
    try {
      await member.cursor.store();
    } catch (error) {
      if (error instanceof LeaseLostError) own.giveUp();
      else consumer.onRetry?.(error);
    } finally {
      isRenewing = false;
    }
  };
  const renewing = setInterval(() => {
    renew().catch((error) => {
      failure ??= { error };
      own.stop();
    });
  }, consumer.leaseDuration / 3);
  try {
    const run = await member.run(own, bounds);
    if (failure) throw failure.error;
    return run;
  } finally {
    clearInterval(renewing);
    own.dispose();
  }
}

function waitingStream({ category, consumerId }: CheckedConsumer): string {
  return streamName(category, [consumerId, "waiting"], ["group"]);
}

/** The processes that have said not long ago that they wait for a member. */
async function waitingOwners(consumer: CheckedConsumer): Promise<string[]> {
  const name = waitingStream(consumer);
  const [last] = await readLastMessages(consumer.sql, [name]);
  if (last === undefined || last.age > consumer.leaseDuration) return [];
  const recent = await readStream<{ owner: string; leaseDuration: number }>(consumer.sql, name, {
    direction: "backward",
    batchSize: 100,
  });
  const latest = Number(recent[0]?.time);
  return recent
    .filter(({ time, data }) => last.age + latest - Number(time) < data.leaseDuration)
    .map(({ data }) => data.owner);
}
