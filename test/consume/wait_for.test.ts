import assert from "node:assert/strict";
import { describe, test } from "vitest";
import {
  aggregate,
  append,
  type Consumer,
  ConsumerBehindError,
  drain,
  type Message,
  readCategory,
  StoreWentBackError,
  waitFor,
  write,
  writeBatch,
} from "../../mod.ts";
import { start, writeCounted } from "./_consuming.ts";
import { PATIENCE } from "../_until.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const handle = () => {};
const now = { timeout: 0 };

describe("waitFor()", () => {
  test("resolves when the consumer has handled the message", async () => {
    const seen: unknown[] = [];
    const consumer = { category: "live", consumerId: "it" };
    const running = start(db.sql, { ...consumer, handle: ({ data }) => void seen.push(data) });
    for (let data = 0; data < 3; data++) {
      const { globalPosition } = await append(db.sql, "live-1", { type: "Written", data });
      await waitFor(db.sql, consumer, globalPosition, { timeout: PATIENCE });
      assert.equal(seen.at(-1), data);
    }
    await running.stop();
  });

  test("rejects when the time is over, and says how far the consumer is", async () => {
    const positions = await writeCounted(db.sql, "behind", 3);
    const consumer = { category: "behind", consumerId: "it" };
    const behind = (position: number) => (error: unknown) => {
      assert.ok(error instanceof ConsumerBehindError);
      const { code, consumerId, globalPosition } = error;
      assert.deepEqual([code, consumerId, globalPosition, error.position], [
        "CONSUMER_BEHIND",
        "it",
        positions[2],
        position,
      ]);
      return true;
    };
    await assert.rejects(waitFor(db.sql, consumer, positions[2]!, now), behind(0));
    await drain(db.sql, { ...consumer, handle }, { limit: 2 });
    await waitFor(db.sql, consumer, positions[1]!, now);
    const later = { timeout: 30 };
    await assert.rejects(waitFor(db.sql, consumer, positions[2]!, later), behind(positions[1]!));
    await drain(db.sql, { ...consumer, handle });
    await waitFor(db.sql, consumer, positions[2]!, now);
  });

  test("rejects with the signal's reason", async () => {
    const [position] = await writeCounted(db.sql, "signal", 1);
    const ending = new AbortController();
    const { signal } = ending;
    const consumer = { category: "signal", consumerId: "it" };
    const waiting = waitFor(db.sql, consumer, position!, { signal });
    ending.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
    await assert.rejects(waitFor(db.sql, consumer, position!, { signal }), /enough/);
  });

  test("takes a position of another category for passed when all before it are", async () => {
    const [mine] = await writeCounted(db.sql, "mine", 1);
    const [other] = await writeCounted(db.sql, "foreign", 1);
    const consumer = { category: "mine", consumerId: "it" };
    await assert.rejects(waitFor(db.sql, consumer, other!, now), ConsumerBehindError);
    await waitFor(db.sql, consumer, mine! - 1, now);
    await drain(db.sql, { ...consumer, handle });
    await waitFor(db.sql, consumer, other!, now);
    // No message can have had a position that the store has not given yet.
    await assert.rejects(waitFor(db.sql, consumer, other! + 1000, now), StoreWentBackError);
  });

  test("waits for a consumer that takes few of the messages", async () => {
    const positions = await writeCounted(db.sql, "few", 5);
    const consumers = {
      filtered: { types: ["None"], handle },
      map: { handlers: { None: handle } },
      correlated: { correlation: "none", handle },
    };
    for (const [consumerId, options] of Object.entries(consumers)) {
      const consumer = { category: "few", consumerId };
      await assert.rejects(waitFor(db.sql, consumer, positions[4]!, now), ConsumerBehindError);
      const running = start(db.sql, { ...consumer, ...options });
      await waitFor(db.sql, consumer, positions[4]!, { timeout: PATIENCE });
      await running.stop();
    }
  });

  test.each<[string, object]>([
    ["types", { types: ["Kept"], handle }],
    ["handlers", { handlers: { Kept: handle } }],
    ["correlation", { correlation: "kept", handle }],
  ])("does not wait for messages that a consumer with %s passes over", async (by, options) => {
    const category = `passes${by}`;
    const names = { category, consumerId: "it" };
    const consumer = { ...names, ...options } as Consumer;
    const metadata = { correlationStreamName: "kept-1" };
    // More than it looks at at once.
    await writeBatch(
      db.sql,
      `${category}-1`,
      Array.from({ length: 150 }, () => ({ type: "Other" })),
    );
    const kept = await append(db.sql, `${category}-1`, { type: "Kept", metadata });
    await assert.rejects(waitFor(db.sql, consumer, kept.globalPosition, now), ConsumerBehindError);
    await drain(db.sql, consumer);
    const other = await append(db.sql, `${category}-1`, { type: "Other" });
    // It records nothing where it has nothing to handle.
    await drain(db.sql, consumer);
    await waitFor(db.sql, consumer, other.globalPosition, now);
    await assert.rejects(waitFor(db.sql, names, other.globalPosition, now), ConsumerBehindError);
  });

  test("waits for every member of a group, or for the one that is asked for", async () => {
    const positions = await writeCounted(db.sql, "group", 20, { streams: 10 });
    const group = { category: "group", consumerId: "it", consumerGroup: { size: 2 } };
    const member = (member: number) => ({ ...group, consumerGroup: { member, size: 2 } });
    const { consumerGroup } = member(1);
    const share = await readCategory(db.sql, "group", { consumerGroup });
    const last = positions[19]!;
    await drain(db.sql, { ...member(0), handle });
    await waitFor(db.sql, member(0), last, now);
    await assert.rejects(waitFor(db.sql, member(1), last, now), ConsumerBehindError);
    await assert.rejects(waitFor(db.sql, group, last, now), ConsumerBehindError);
    // What is before the first of the other member's is passed already.
    await waitFor(db.sql, group, share[0]!.globalPosition - 1, now);
    await assert.rejects(waitFor(db.sql, group, share[0]!.globalPosition, now));
    await drain(db.sql, { ...group, handle });
    await waitFor(db.sql, group, last, now);
  });

  test("waits for a consumer of $all", async () => {
    const consumer = { category: "$all", consumerId: "it" };
    const { globalPosition } = await append(db.sql, "any-1", { type: "Written" });
    await assert.rejects(waitFor(db.sql, consumer, globalPosition, now), ConsumerBehindError);
    const running = start(db.sql, { ...consumer, handle });
    await waitFor(db.sql, consumer, globalPosition, { timeout: PATIENCE });
    await running.stop();
  });

  test("waits for a consumer of an aggregate by the message's own position", async () => {
    const ledger = { name: "ledger", from: ["booking"], partition: () => 0, partitions: 2 };
    const positions = await writeCounted(db.sql, "booking", 3);
    const consumer = { aggregate: "ledger", consumerId: "it" };
    await assert.rejects(waitFor(db.sql, consumer, positions[0]!, now), ConsumerBehindError);
    await aggregate(db.sql, ledger, { once: true });
    await assert.rejects(waitFor(db.sql, consumer, positions[0]!, now), ConsumerBehindError);
    const seen: unknown[] = [];
    const handle = ({ data }: Message) => void seen.push(data);
    await drain(db.sql, { ...consumer, handle }, { limit: 2 });
    await waitFor(db.sql, consumer, positions[1]!, now);
    await assert.rejects(waitFor(db.sql, consumer, positions[2]!, now), ConsumerBehindError);
    await drain(db.sql, { ...consumer, handle });
    await waitFor(db.sql, consumer, positions[2]!, now);
    assert.deepEqual(seen, [0, 1, 2]);
  });

  test("refuses a position stream whose last message is no position", async () => {
    await write(db.sql, "odd:position-it", { type: "Recorded", data: {} });
    await assert.rejects(
      waitFor(db.sql, { category: "odd", consumerId: "it" }, 1, now),
      { name: "TypeError", message: /odd:position-it/ },
    );
  });
});
