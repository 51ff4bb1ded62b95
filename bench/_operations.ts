import * as client from "@messagedb/client";
import type { Sql } from "@messagedb/client";
import { z } from "zod";
import type { StoreSize } from "./_store.ts";

/**
 * Every operation of the client with its variants, by name, as calls on a store that `fillStore` has
 * made of this size.
 */
export function operationsOn(
  { messages }: StoreSize,
): Record<string, (sql: Sql) => Promise<unknown>> {
  const message = { type: "Deposited", data: { amount: 1 } };
  const once = () => ({ ...message, id: crypto.randomUUID() });
  const group = { member: 1, size: 4 };
  // In the midst of the store, of a long stream, and behind nearly everything.
  const middle = Math.round(messages / 2);
  const late = messages - 500;
  const recently = new Date(Date.UTC(2026, 0, 1) + late * 31_000);
  const onceIn = new Date(Date.UTC(2026, 0, 1) + middle * 31_000);
  const backward = { direction: "backward" } as const;
  const condition = "type <> 'None'";
  const init = () => 0;
  const evolve = (state: number) => state + 1;
  const first = async (messages: AsyncIterable<unknown>) => {
    for await (const message of messages) return message;
    return undefined;
  };
  const consumer = (consumerId: string) => ({
    category: "account",
    consumerId,
    startAt: late,
    handle: () => {},
  });
  const account = client.entity({ category: "account", init, evolve, snapshot: { every: 1 } });
  const catalogue = client.defineMessages({
    Deposited: { schema: z.unknown(), aliases: ["Withdrawn"] },
  });
  const idsOf = async (sql: Sql, count: number) =>
    (await client.readAll(sql, { position: middle, batchSize: count })).map(({ id }) => id);

  return {
    write: (sql) => client.write(sql, "account-0", message),
    "write at a version": (sql) => client.write(sql, "new-1", message, { expectedVersion: -1 }),
    "write with an id": (sql) => client.write(sql, "account-0", once()),
    "write of a new stream": (sql) => client.write(sql, "account-new", once()),
    reply: (sql) => client.reply(sql, { ...message, metadata: { replyStreamName: "account-0" } }),
    writeBatch: (sql) => client.writeBatch(sql, "account-0", [once(), message]),
    "writeBatch of 1000": (sql) =>
      client.writeBatch(sql, "account-0", Array.from({ length: 1000 }, once)),
    append: (sql) => client.append(sql, "account-0", [once(), message]),
    writeStreams: (sql) =>
      client.writeStreams(
        sql,
        ["account-0", "order-8", "payment-13"].map((streamName) => {
          return { streamName, messages: [once(), message] };
        }),
      ),
    groupCommit: (sql) => {
      const write = client.groupCommit(sql);
      return Promise.all(
        ["account-0", "account-8", "order-8", "new-1"].map((name) => write(name, once())),
      );
    },
    "groupCommit of new messages": (sql) => {
      const write = client.groupCommit(sql);
      return Promise.all(
        ["account-0", "account-8", "order-8", "new-1"].map((name) => write(name, message)),
      );
    },
    importMessages: (sql) =>
      client.importMessages(
        sql,
        Array.from({ length: 500 }, (_, at) => ({ ...once(), streamName: `account-${at}` })),
      ),
    synchronize: (sql) => client.synchronize(sql, "new-1", Array.from({ length: 100 }, once)),
    readStream: (sql) => client.readStream(sql, "account-0"),
    "readStream from its middle": (sql) => client.readStream(sql, "account-0", { position: 2000 }),
    "readStream backward": (sql) => client.readStream(sql, "account-0", backward),
    "readStream of none": (sql) => client.readStream(sql, "none-1"),
    "readStream with a condition": (sql) => client.readStream(sql, "account-0", { condition }),
    readCategory: (sql) => client.readCategory(sql, "account"),
    "readCategory from the middle": (sql) =>
      client.readCategory(sql, "account", { position: middle }),
    "readCategory at the end": (sql) =>
      client.readCategory(sql, "account", { position: messages + 1 }),
    "readCategory of none": (sql) => client.readCategory(sql, "none"),
    "readCategory backward": (sql) => client.readCategory(sql, "account", backward),
    "readCategory by correlation": (sql) =>
      client.readCategory(sql, "account", { correlation: "transfer" }),
    "readCategory of a member": (sql) =>
      client.readCategory(sql, "account", { consumerGroup: group }),
    "readCategory backward by correlation, of a member": (sql) =>
      client.readCategory(sql, "account", {
        ...backward,
        correlation: "transfer",
        consumerGroup: group,
      }),
    "readCategory with a condition": (sql) => client.readCategory(sql, "account", { condition }),
    readAll: (sql) => client.readAll(sql, { position: middle }),
    "readAll backward": (sql) => client.readAll(sql, backward),
    "read of a category": (sql) => client.read(sql, "account", { position: middle }),
    "readMatching of a category": (sql) =>
      client.readMatching(sql, "account-%", { position: middle }),
    readLastMessage: (sql) => client.readLastMessage(sql, "account-0"),
    "readLastMessage of a type": (sql) =>
      client.readLastMessage(sql, "account-0", { type: "Closed" }),
    "readLastMessage of several types": (sql) =>
      client.readLastMessage(sql, "account-0", { type: "Deposited", messages: catalogue }),
    "readMessages of 100 ids": async (sql) => client.readMessages(sql, await idsOf(sql, 100)),
    readMessage: async (sql) => client.readMessage(sql, (await idsOf(sql, 1))[0]!),
    streamVersion: (sql) => client.streamVersion(sql, "account-0"),
    iterateStream: (sql) => first(client.iterateStream(sql, "account-0")),
    iterateCategory: (sql) => first(client.iterateCategory(sql, "account")),
    iterateAll: (sql) => first(client.iterateAll(sql)),
    iterateMatching: (sql) => first(client.iterateMatching(sql, "%")),
    // After the look at what is recorded come reads as those of readAll.
    settle: async (sql) => {
      const ending = new AbortController();
      const looking: Sql = (...statement) => {
        ending.abort();
        return sql(...statement);
      };
      await client.settle(looking, { signal: ending.signal });
    },
    "subscribe to a stream": (sql) => first(client.subscribe(sql, "account-0")),
    "subscribe to a category": (sql) => first(client.subscribe(sql, "account")),
    "subscribe to some types, by correlation, of a member": (sql) =>
      first(client.subscribe(sql, "account", {
        startAt: middle,
        types: ["Withdrawn"],
        correlation: "transfer",
        consumerGroup: group,
      })),
    "subscribe to $all": (sql) =>
      first(client.subscribe(sql, "$all", { startAt: middle, types: ["Withdrawn"] })),
    "subscribe to an aggregate": (sql) => first(client.subscribe(sql, { aggregate: "ledger" })),
    "subscribe to a stream since a time": (sql) =>
      first(client.subscribe(sql, "account-0", { startAt: onceIn })),
    "subscribe to a category since a time": (sql) =>
      first(client.subscribe(sql, "account", { startAt: onceIn })),
    "subscribe to a category since lately": (sql) =>
      first(client.subscribe(sql, "account", { startAt: recently })),
    "subscribe to $all since a time": (sql) =>
      first(client.subscribe(sql, "$all", { startAt: onceIn })),
    "subscribe to $all since lately": (sql) =>
      first(client.subscribe(sql, "$all", { startAt: recently })),
    "subscribe to an aggregate since a time": (sql) =>
      first(client.subscribe(sql, { aggregate: "ledger" }, { startAt: onceIn })),
    "subscribe to a category from its end": async (sql) => {
      const rest = client.subscribe(sql, "account", { startAt: "end", pollInterval: 1 });
      const next = rest.next();
      await client.write(sql, "account-0", message);
      await next;
      await rest.return();
    },
    readAggregate: (sql) => client.readAggregate(sql, "ledger", { position: middle }),
    "readAggregate of a partition": (sql) =>
      client.readAggregate(sql, "ledger", { partition: "17" }),
    "readAggregate of a member": (sql) =>
      client.readAggregate(sql, "ledger", { consumerGroup: group }),
    aggregate: (sql) =>
      client.aggregate(
        sql,
        { name: "new", from: ["account%"], partition: () => 0, startAt: late },
        {
          once: true,
        },
      ),
    consume: async (sql) => {
      const end = new AbortController();
      const handle = () => end.abort();
      await client.consume(sql, { ...consumer("consume"), handle }, { signal: end.signal });
    },
    drain: (sql) => client.drain(sql, consumer("drain")),
    "drain of a member": (sql) => client.drain(sql, { ...consumer("drain"), consumerGroup: group }),
    "drain with parking": (sql) => {
      const handle = () => Promise.reject(new Error("Not today"));
      return client.drain(sql, { ...consumer("park"), handle, onError: "park" }, { limit: 2 });
    },
    replayParked: async (sql) => {
      const handle = () => Promise.reject(new Error("Not today"));
      await client.drain(sql, { ...consumer("park"), handle, onError: "park" }, { limit: 2 });
      return await client.replayParked(sql, consumer("park"));
    },
    waitFor: async (sql) => {
      await client.drain(sql, consumer("waited"));
      await client.waitFor(sql, { category: "account", consumerId: "waited" }, messages);
    },
    project: (sql) => client.project(sql, "account-0", { init, evolve }),
    projectCategory: (sql) => client.projectCategory(sql, "order", { init, evolve, from: late }),
    entity: (sql) => account.fetch(sql, "1"),
    decide: (sql) =>
      client.decide(sql, { one: [account, "1"], two: [account, "2"] }, () => ({ one: message })),
    categories: (sql) => client.categories(sql),
    streamNames: (sql) => client.streamNames(sql, "account"),
    entityIds: (sql) => client.entityIds(sql, "account"),
    messageStoreVersion: (sql) => client.messageStoreVersion(sql),
  };
}
