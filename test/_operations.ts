import * as client from "@messagedb/client";
import * as z from "zod";

const message = { type: "Written" };
const known = { ...message, id: crypto.randomUUID() };
const once = () => ({ ...message, id: crypto.randomUUID() });

/** Every operation of the client, by its name and how it is called. */
export const operations: Record<string, (sql: client.Sql) => Promise<unknown>> = {
  write: (sql) => client.write(sql, "account-1", message),
  "write with an id": (sql) => client.write(sql, "account-1", once()),
  "write with a known id": (sql) => client.write(sql, "known-1", known),
  "writeBatch again": (sql) => client.writeBatch(sql, "known-1", [known]),
  writeBatch: (sql) => client.writeBatch(sql, "account-1", [once(), message]),
  append: (sql) => client.append(sql, "account-1", [once(), message]),
  "append again": (sql) => client.append(sql, "known-1", known),
  reply: (sql) => client.reply(sql, { ...message, metadata: { replyStreamName: "account-1" } }),
  writeStreams: (sql) =>
    client.writeStreams(sql, [{ streamName: "a-1", messages: [message] }, {
      streamName: "b-1",
      messages: [message],
    }]),
  groupCommit: (sql) => {
    const write = client.groupCommit(sql);
    return Promise.all([write("account-1", message), write("b-1", once())]);
  },
  importMessages: (sql) =>
    client.importMessages(sql, [
      { ...once(), streamName: "account-1", time: new Date(0) },
      { ...once(), streamName: "b-1" },
    ]),
  synchronize: (sql) => client.synchronize(sql, `s-${crypto.randomUUID()}`, [once()]),
  readStream: (sql) => client.readStream(sql, "account-1"),
  "readStream backward": (sql) => client.readStream(sql, "account-1", { direction: "backward" }),
  "readStream of none": (sql) => client.readStream(sql, "none-1"),
  readCategory: (sql) => client.readCategory(sql, "account"),
  "readCategory backward": (sql) => client.readCategory(sql, "account", { direction: "backward" }),
  readAll: (sql) => client.readAll(sql),
  "readAll backward": (sql) => client.readAll(sql, { direction: "backward" }),
  readMatching: (sql) => client.readMatching(sql, "%"),
  read: (sql) => client.read(sql, "$all"),
  readLastMessage: (sql) => client.readLastMessage(sql, "account-1"),
  readMessage: (sql) => client.readMessage(sql, crypto.randomUUID()),
  readMessages: (sql) => client.readMessages(sql, []),
  streamVersion: (sql) => client.streamVersion(sql, "account-1"),
  iterateStream: (sql) => client.iterateStream(sql, "account-1").next(),
  iterateCategory: (sql) => client.iterateCategory(sql, "account").next(),
  iterateAll: (sql) => client.iterateAll(sql).next(),
  iterateMatching: (sql) => client.iterateMatching(sql, "%").next(),
  subscribe: (sql) => client.subscribe(sql, "known").next(),
  readAggregate: (sql) => client.readAggregate(sql, "known"),
  streamNames: (sql) => client.streamNames(sql, "account"),
  entityIds: (sql) => client.entityIds(sql, "account"),
  categories: (sql) => client.categories(sql),
  messageStoreVersion: (sql) => client.messageStoreVersion(sql),
};

/** What is made of several statements. */
export const programs: Record<string, (sql: client.Sql) => Promise<unknown>> = {
  consume: async (sql) => {
    const end = new AbortController();
    const handle = () => end.abort();
    const consumer = { category: "known", consumerId: crypto.randomUUID(), handle };
    await client.consume(sql, consumer, { signal: end.signal });
  },
  drain: (sql) => client.drain(sql, { category: "known", consumerId: "known", handle: () => {} }),
  replayParked: (sql) =>
    client.replayParked(sql, { category: "known", consumerId: "known", handle: () => {} }),
  project: (sql) => client.project(sql, "known-1", { init: () => 0, evolve: (state) => state + 1 }),
  projectCategory: (sql) =>
    client.projectCategory(sql, "known", { init: () => 0, evolve: (state) => state + 1 }),
  entity: async (sql) => {
    const snapshot = { every: 1 };
    const known = { category: "known", init: () => 0, evolve: (state: number) => state + 1 };
    await client.entity({ ...known, snapshot }).fetch(sql, "1");
  },
  decide: async (sql) => {
    const counter = client.entity({
      category: "counter",
      init: () => 0,
      evolve: (state) => state + 1,
    });
    await client.decide(
      sql,
      { one: [counter, "1"], two: [counter, "2"] },
      () => ({ one: message }),
    );
  },
  "decide by a command": async (sql) => {
    const said = client.entity({ category: "said", init: () => 0, evolve: () => 0 });
    const command = { commandId: crypto.randomUUID() };
    for (let time = 0; time < 2; time++) await said.decide(sql, "1", () => message, command);
  },
  waitFor: (sql) => client.waitFor(sql, { category: "none", consumerId: "known" }, 1),
  settle: async (sql) => {
    await client.write(sql, "known-1", message);
    const end = new AbortController();
    const running = client.settle(sql, { signal: end.signal });
    // The first answer is enough.
    await Promise.race([running, new Promise((resolve) => setTimeout(resolve, 300))]);
    end.abort();
    await running;
  },
  aggregate: (sql) =>
    client.aggregate(sql, { name: "known", from: ["a%"], partition: () => 0 }, { once: true }),
};

/** Those that send other statements with other options; a condition needs a setting of the server. */
export const variants: Record<string, (sql: client.Sql) => Promise<unknown>> = {
  "readLastMessage of types": (sql) => {
    const messages = client.defineMessages({
      Written: { schema: z.null(), aliases: ["Noted"] },
    });
    return client.readLastMessage(sql, "account-1", { type: "Written", messages });
  },
  "importMessages of a store": (sql) =>
    client.importMessages(sql, [
      { ...once(), streamName: "account-1", globalPosition: 1, position: 0 },
    ]),
  "groupCommit of new messages": (sql) => {
    const write = client.groupCommit(sql);
    return Promise.all(["a-1", "a-1", "a-2", "b-1"].map((name) => write(name, message)));
  },
  "readStream with a condition": (sql) => client.readStream(sql, "a-1", { condition: "true" }),
  "readStream backward with a condition": (sql) =>
    client.readStream(sql, "a-1", { condition: "true", direction: "backward" }),
  "readCategory of a member": (sql) =>
    client.readCategory(sql, "a", { correlation: "b", consumerGroup: { member: 1, size: 2 } }),
  "readCategory backward of a member": (sql) =>
    client.readCategory(sql, "a", { direction: "backward", consumerGroup: { member: 1, size: 2 } }),
  "subscribe from a time": (sql) =>
    client.subscribe(sql, "known", { startAt: new Date(0), types: ["Written"] }).next(),
  "readAggregate of a partition": (sql) => client.readAggregate(sql, "known", { partition: 0 }),
  "readCategory with a condition": (sql) => client.readCategory(sql, "a", { condition: "true" }),
  "readCategory backward with a condition": (sql) =>
    client.readCategory(sql, "a", { condition: "true", direction: "backward" }),
};

/** What the client exports that sends nothing. */
export const pure: readonly string[] = [
  "checkLines",
  "defineMessages",
  "follow",
  "correlate",
  "isFollowing",
  "idFrom",
  "fromQuery",
  "inSchema",
  "partitionByHash",
  "partitioned",
  "partitionFor",
  "partitions",
  "category",
  "categoryName",
  "entityName",
  "id",
  "ids",
  "cardinalId",
  "isCategory",
  "types",
  "streamName",
];
