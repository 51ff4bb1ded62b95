import assert from "node:assert/strict";
import { describe, test } from "vitest";
import {
  aggregate,
  consume,
  drain,
  entity,
  type Message,
  type MessageInput,
  readAggregate,
  readAll,
  readLastMessage,
  readStream,
  replayParked,
  write,
  writeBatch,
} from "../../mod.ts";
import { IS_OWN_MESSAGE, isOwnMessage } from "../../src/names/_own_streams.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const bookkeeping = useDatabase();

/** Messages of an application, whose streams and types look like those of a consumer or an entity. */
const look: [streamName: string, message: MessageInput][] = [
  ["vehicle:position-17", { type: "Recorded", data: { lat: 1, lng: 2 } }],
  ["vehicle:position-17", { type: "Recorded", data: { position: 1, lat: 1 } }],
  ["vehicle:position-17", { type: "Recorded", data: { position: { lat: 1 } } }],
  ["vehicle:position-17", { type: "Recorded", data: { position: "1" } }],
  ["vehicle:position-17", { type: "Recorded", data: { position: 1.5 } }],
  ["vehicle:position-17", { type: "Recorded", data: { position: -1 } }],
  ["vehicle:position-17", { type: "Recorded" }],
  ["vehicle:position-17", { type: "Recorded", data: [1] }],
  ["vehicle:position-17", { type: "Recorded", data: '{"position": 1}' }],
  ["vehicle:position-17", { type: "Moved", data: { position: 1 } }],
  ["vehicle:position-17", { type: "Recorded\nagain", data: { position: 1 } }],
  ["vehicle-17", { type: "Recorded", data: { position: 1 } }],
  ["vehicle:parked-17", { type: "Parked", data: { street: "Main" } }],
  ["vehicle:parked-17", { type: "Parked", data: { message: "hello", attempts: 1 } }],
  ["vehicle:parked-17", { type: "Parked", data: { error: null, message: "x", attempts: 1 } }],
  ["shirts:group-1", { type: "Sized", data: { size: "XL" } }],
  ["shirts:group-1", { type: "Sized", data: { size: 5, unit: "cm" } }],
  ["vehicle:parked-17", { type: "Replayed", data: { position: "1" } }],
  ["vehicle:parked-17", { type: "Replayed", data: { position: 1, reason: "asked" } }],
  ["vehicle:parked-17", { type: "Discarded", data: { reason: "towed" } }],
  ["vehicle:parked-17", { type: "Discarded", data: { position: 1, reason: "towed", by: "me" } }],
  ["insurance:claim-17", { type: "Claimed", data: { amount: 5 } }],
  ["insurance:claim-17", { type: "Claimed", data: { version: 1, owner: "me", amount: 5 } }],
  ["insurance:claim-17", { type: "Claimed", data: { version: "1", owner: "me" } }],
  ["insurance-17", { type: "Claimed", data: { version: 1, owner: "me" } }],
  ["queue:group-1", { type: "Waiting", data: { owner: "me" } }],
  ["queue:group-1", { type: "Recorded", data: { position: 1 } }],
  ["picture:snapshot-1", { type: "Recorded", data: { entityVersion: "1", entityData: {} } }],
  ["picture:snapshot-1", { type: "Recorded", data: { width: 1 } }],
  ["ledger:aggregate-x", { type: "Recorded", data: { position: null } }],
];

/** What Eventide's consumers and entity stores write, in Ruby. */
const eventide: [streamName: string, message: MessageInput][] = [
  ["account:position-reader", { type: "Recorded", data: { position: 11 }, metadata: {} }],
  ["account:command+position-reader", { type: "Recorded", data: { position: 0 } }],
  ["account:snapshot-1", {
    type: "Recorded",
    data: { entityData: { balance: 1 }, entityVersion: 5, time: "2026-01-01T00:00:00.000Z" },
  }],
];

async function drained(sql: typeof db.sql, consumerId: string): Promise<Message[]> {
  const messages: Message[] = [];
  await drain(sql, {
    category: "$all",
    consumerId,
    handle: (message) => void messages.push(message),
  });
  return messages;
}

describe("a consumer of $all, and an aggregate,", () => {
  test("have an application's messages, however they are named", async () => {
    for (const [streamName, message] of [...look, ...eventide]) {
      await write(db.sql, streamName, message);
    }
    const written = look.map(([streamName, { type, data = null }]) => [streamName, type, data]);
    const told = (messages: readonly Message[]) =>
      messages.map(({ streamName, type, data }) => [streamName, type, data]);
    assert.deepEqual(told(await drained(db.sql, "all")), written);
    await aggregate(db.sql, { name: "whole", from: ["%"], partition: () => 0 }, { once: true });
    assert.deepEqual(
      told(await readAggregate(db.sql, "whole")).slice(0, written.length),
      written,
    );
  });

  test("leave out all that consumers, groups, aggregates and entities write for themselves", async () => {
    const { sql } = bookkeeping;
    const count = {
      category: "account",
      init: () => 0,
      evolve: (count: number) => count + 1,
      snapshot: { every: 1, version: "a\nb" },
    };
    await writeBatch(sql, "account-1", [{ type: "Opened" }, { type: "Closed" }]);
    await entity(count).decide(sql, "1", () => ({ type: "Counted" }));
    await entity(count).fetch(sql, "1");
    const parking = {
      category: "account",
      onError: "park",
      handle: ({ type }: Message) => {
        if (type === "Closed") return "park" as const;
        throw new Error('"attempts": 1}\n');
      },
    } as const;
    await drain(sql, { ...parking, consumerId: "parking" });
    await drain(sql, { ...parking, consumerId: "group", consumerGroup: { size: 2 } });
    await aggregate(sql, { name: "ledger", from: ["account"], partition: () => 0 }, { once: true });
    await drain(sql, {
      ...parking,
      category: undefined,
      aggregate: "ledger",
      consumerId: "of-ledger",
    });
    const types = async () => new Set((await readAll(sql)).map(({ type }) => type));
    const ending = new AbortController();
    const group = {
      ...parking,
      consumerId: "waiting",
      consumerGroup: { size: 2 },
      leaseDuration: 3000,
      pollInterval: 20,
    };
    const isSilent = async (at: number) => {
      const last = await readLastMessage(sql, `account:position-waiting+${at}+2`);
      return last !== null && Date.now() - Number(last.time) > group.leaseDuration / 3;
    };
    const run = () => consume(sql, group, { signal: ending.signal });
    const running = [run()];
    // The first has both members, and has not written for a third of the lease. So the second asks it, and waits.
    await until(async () => await isSilent(0) && await isSilent(1));
    running.push(run());
    await until(async () => (await types()).has("Waiting") && (await types()).has("Claimed"));
    ending.abort();
    await Promise.all(running);
    const [, closed] = await readStream(sql, "account-1");
    const consumer = { ...parking, consumerId: "parking", onError: "skip" } as const;
    const replayed = await replayParked(sql, consumer, { ids: [closed!.id] });
    assert.equal(replayed.replayed, 1);

    assert.deepEqual(
      await types(),
      new Set([
        "Opened",
        "Closed",
        "Counted",
        "Recorded",
        "Recorded:a\nb",
        "Sized",
        "Parked",
        "Waiting",
        "Claimed",
        "Replayed",
      ]),
    );
    const handled = await drained(sql, "all");
    assert.deepEqual(
      new Set(handled.map(({ streamName }) => streamName)),
      new Set(["account-1", "ledger-0"]),
    );
  });

  test("tell what is their own in SQL as in JavaScript", async () => {
    for (const { sql } of [db, bookkeeping]) {
      const rows = await sql.unsafe<{ global_position: string; is_own: boolean }[]>(
        `select global_position, (${IS_OWN_MESSAGE}) as is_own
        from message_store.messages order by global_position`,
      );
      const messages = await readAll(sql);
      assert.deepEqual(
        rows.map((row) => [Number(row.global_position), row.is_own]),
        messages.map((message) => [message.globalPosition, isOwnMessage(message)]),
      );
      assert.ok(rows.some((row) => row.is_own) && rows.some((row) => !row.is_own));
    }
  });
});
