import assert from "node:assert/strict";
import * as client from "@messagedb/client";
import * as operate from "@messagedb/client/operate";
import { lockCategories } from "../src/consume/_lock_categories.ts";
import { readPartitionMark } from "../src/handle/_partition_mark.ts";
import { ALL, readHeads } from "../src/subscribe/_heads.ts";
import { operations, programs, variants } from "./_operations.ts";

/** Those whose statements no other has. */
const extras: typeof operations = {
  "readCategory backward by correlation": (sql) =>
    client.readCategory(sql, "known", { correlation: "known", direction: "backward" }),
  "subscribe to a category by correlation": async (sql) => {
    const metadata = { correlationStreamName: "known-1" };
    await client.write(sql, "known-1", { type: "Written", metadata });
    const options = { correlation: "known", types: ["Written"] };
    await client.subscribe(sql, "known", options).next();
  },
  "subscribe to a stream from a time": (sql) =>
    client.subscribe(sql, "known-1", { startAt: new Date(0) }).next(),
  "subscribe and wait": (sql) => readHeads(sql, [ALL, ["category", "known"]], null),
  "partitioned, before the first statement": (sql) => readPartitionMark(sql),
  "subscribe to all from a time": (sql) =>
    client.subscribe(sql, "$all", { startAt: new Date(0), types: ["Written"] }).next(),
  "subscribe to an aggregate from a time": async (sql) => {
    await client.aggregate(
      sql,
      { name: "ledger", from: ["known-%"], partition: () => 0 },
      { once: true },
    );
    await client.subscribe(sql, { aggregate: "ledger" }, {
      startAt: new Date(0),
      types: ["Written"],
    })
      .next();
  },
  "entity with a new snapshot": async (sql) => {
    const category = `entity${crypto.randomUUID().replaceAll("-", "")}`;
    await client.write(sql, `${category}-1`, { type: "Written" });
    const counter = { category, init: () => 0, evolve: (state: number) => state + 1 };
    await client.entity({ ...counter, snapshot: { every: 1 } }).fetch(sql, "1");
    assert.equal(await client.streamVersion(sql, `${category}:snapshot-1`), 0);
  },
  "readAggregate of a member": (sql) =>
    client.readAggregate(sql, "ledger", { consumerGroup: { member: 0, size: 1 } }),
  "readAll past a gap": async (sql) => {
    const twice = { type: "Written", id: crypto.randomUUID() };
    await client.writeBatch(sql, "gap-1", [twice, twice]).catch(() => {});
    await client.write(sql, "gap-1", { type: "Written" });
    return await client.readAll(sql, { batchSize: 100_000 });
  },
  "drain in a group, and park": (sql) =>
    client.drain(sql, {
      category: "known",
      consumerId: "g",
      handle: () => "park",
      consumerGroup: { size: 2 },
    }),
  "replayParked of what is parked": (sql) =>
    client.replayParked(sql, { category: "known", consumerId: "g", handle: () => {} }),
  "a transaction that conflicts again and again": (sql) =>
    lockCategories(sql, new Set(["known-1", "other-1"])),
  consumers: (sql) => operate.consumers(sql),
  storeStatus: (sql) => operate.storeStatus(sql),
  "streams by last": (sql) => operate.streams(sql, "known"),
  "streams by count": (sql) => operate.streams(sql, "known", { sort: "count" }),
  "streams by name": (sql) => operate.streams(sql, "known", { sort: "name" }),
  messageTypes: (sql) => operate.messageTypes(sql),
  "messageTypes of a category": (sql) => operate.messageTypes(sql, { category: "known" }),
  activity: (sql) => operate.activity(sql, { since: new Date(0) }),
  "findMessages and inspectMessage": async (sql) => {
    for (const source of ["$all", "known", "known-1"]) {
      for (const direction of ["forward", "backward"] as const) {
        const times = {
          startAt: new Date(),
          since: new Date(0),
          until: new Date(Date.now() + 9e6),
        };
        await operate.findMessages(sql, source, { direction, ...times });
        const filter = { types: ["Written"], text: "e", direction };
        const { messages } = await operate.findMessages(sql, source, filter);
        for (const { id } of messages) await operate.inspectMessage(sql, id);
      }
    }
    await operate.inspectMessage(sql, crypto.randomUUID());
  },
  trace: async (sql) => {
    const { messages } = await operate.trace(sql, { streamName: "known-1" });
    assert.notEqual(messages.length, 0);
  },
  "importMessages of a message and what points to it": async (sql) => {
    const source = { globalPosition: 1, position: 0, id: crypto.randomUUID() };
    const category = `copied${crypto.randomUUID().replaceAll("-", "")}`;
    const pointing = { globalPosition: 2, id: crypto.randomUUID() };
    const metadata = { causationMessageGlobalPosition: 1, causationMessagePosition: 0 };
    const recorded = { type: "Recorded", data: { position: 1 }, metadata };
    await client.importMessages(sql, [
      { ...source, type: "Written", streamName: `${category}-1` },
      { ...pointing, ...recorded, streamName: `${category}:position-x` },
    ]);
  },
  exportMessages: (sql) => operate.exportMessages(sql, "$all").next(),
  compareCopy: (sql) => operate.compareCopy(sql, sql, "known").next(),
  isSameStore: (sql) => operate.isSameStore(sql, sql),
  diagnose: (sql) => operate.diagnose(sql),
  verify: (sql) => operate.verify(sql).next(),
  "verify of a category": (sql) => operate.verify(sql, { category: "known" }).next(),
  "rewind, park, skip and discardParked": async (sql) => {
    const consumer = { category: "known", consumerId: crypto.randomUUID() };
    const handle = () => Promise.reject(new Error("hangs"));
    const hang = () => client.drain(sql, { ...consumer, handle }).catch((error) => error);
    const reason = "it hangs";
    await operate.park(sql, consumer, (await hang()).failedMessage.id, { reason });
    await operate.skip(sql, consumer, (await hang()).failedMessage.id, { reason });
    const [parked] = await operate.parked(sql, consumer);
    await operate.discardParked(sql, consumer, [parked!.message.id], { reason });
    await operate.rewind(sql, consumer, "beginning");
  },
  prune: async (sql) => {
    for (let position = 0; position < 3; position++) {
      const recorded = { type: "Recorded", data: { position } };
      await client.write(sql, "known:position-pruned", recorded);
    }
    await operate.prune(sql, { olderThan: 0, dryRun: true });
    assert.notEqual((await operate.prune(sql, { olderThan: 0 })).positions, 0);
  },
  remove: async (sql) => {
    const consumer = { category: "known", consumerId: crypto.randomUUID() };
    await client.drain(sql, { ...consumer, handle: () => "park" });
    assert.notEqual(await operate.remove(sql, consumer), 0);
  },
};
/** Calls that send every statement of the library. */
export const everyStatement: typeof operations = {
  ...operations,
  ...programs,
  ...variants,
  ...extras,
};
