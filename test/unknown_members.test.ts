import assert from "node:assert/strict";
import postgres from "postgres";
import { describe, test } from "vitest";
import * as z from "zod";
import * as client from "@messagedb/client";
import { startEmbedded } from "@messagedb/client/embedded";
import { fetchSql } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import { install, isInstalled, uninstall } from "@messagedb/client/install";
import * as operate from "@messagedb/client/operate";
import { studio } from "@messagedb/client/studio";
import * as otel from "@messagedb/client/otel";
import * as testing from "@messagedb/client/testing";
import denoJson from "../deno.json" with { type: "json" };
import { useDatabase } from "./database.ts";

/** A handle that must not be reached. */
const sql: client.Sql = () => {
  throw new Error("something was sent");
};
/** A handle of postgres.js, which would connect to nothing if it was reached. */
const pg = postgres("postgres://127.0.0.1:1/none");
const id = crypto.randomUUID();
const message = { type: "Written" };
const identified = { ...message, id };
const asked = { ...message, metadata: { replyStreamName: "a-1" } };
const handle = () => {};
const letters = { category: "account", consumerId: "letters" };
const ledger = { name: "ledger", from: ["account"], partition: () => 0 };
const sum = { init: () => 0, evolve: (state: number) => state };
const counters = { ...sum, category: "counter" };
const counter = client.entity(counters);
const nothing = { ...message, data: null };
const schema = z.null();
const catalogue = client.defineMessages({ Written: schema });

/** One of the members that are known, and a call with others. */
// deno-lint-ignore no-explicit-any -- unknown members are what the types refuse
type Place = readonly [known: string, call: (others: any) => unknown];

/** The places where each exported function takes an object with members that have names. */
const places: Record<string, Readonly<Record<string, Place>>> = {
  write: {
    options: ["expectedVersion", (it) => client.write(sql, "a-1", message, it)],
    message: ["metadata", (it) => client.write(sql, "a-1", { ...message, ...it })],
    "message of a catalogue": [
      "metadata",
      (it) => client.write(sql, "a-1", { ...nothing, ...it }, { messages: catalogue }),
    ],
  },
  writeBatch: {
    options: ["expectedVersion", (it) => client.writeBatch(sql, "a-1", [message], it)],
    message: ["metadata", (it) => client.writeBatch(sql, "a-1", [message, { ...message, ...it }])],
  },
  append: {
    options: ["expectedVersion", (it) => client.append(sql, "a-1", message, it)],
    message: ["metadata", (it) => client.append(sql, "a-1", { ...message, ...it })],
  },
  writeStreams: {
    options: [
      "messages",
      (it) => client.writeStreams(sql, [{ streamName: "a-1", messages: [message] }], it),
    ],
    stream: [
      "expectedVersion",
      (it) => client.writeStreams(sql, [{ streamName: "a-1", messages: [message], ...it }]),
    ],
    message: [
      "metadata",
      (it) => client.writeStreams(sql, [{ streamName: "a-1", messages: [{ ...message, ...it }] }]),
    ],
  },
  groupCommit: {
    options: ["maxBatch", (it) => client.groupCommit(sql, it)],
    "options of a write": [
      "expectedVersion",
      (it) => client.groupCommit(sql)("a-1", message, it),
    ],
    message: ["metadata", (it) => client.groupCommit(sql)("a-1", { ...message, ...it })],
  },
  synchronize: {
    options: ["expectedVersion", (it) => client.synchronize(sql, "a-1", [identified], it)],
    message: ["metadata", (it) => client.synchronize(sql, "a-1", [{ ...identified, ...it }])],
  },
  importMessages: {
    options: ["onProgress", (it) => client.importMessages(sql, [], it)],
    message: [
      "streamName",
      (it) => client.importMessages(sql, [{ ...identified, streamName: "a-1", ...it }]),
    ],
    line: [
      "globalPosition",
      (it) =>
        client.importMessages(sql, [
          JSON.stringify({ ...identified, streamName: "a-1", ...it }, (_, value) => value ?? null),
        ]),
    ],
  },
  defineMessages: {
    options: ["codec", (it) => client.defineMessages({}, it)],
    definition: ["aliases", (it) => client.defineMessages({ Written: { schema, ...it } })],
    "options of a constructor": ["metadata", (it) => catalogue.Written(null, it)],
  },
  follow: {
    message: [
      "metadata",
      (it) => client.follow({} as client.Message, [message, { ...message, ...it }]),
    ],
    options: ["propagate", (it) => client.follow({} as client.Message, message, it)],
  },
  reply: {
    options: ["expectedVersion", (it) => client.reply(sql, asked, it)],
    message: ["metadata", (it) => client.reply(sql, { ...asked, ...it })],
  },
  correlate: {
    message: ["metadata", (it) => client.correlate({ ...message, ...it }, "a-1")],
  },
  readStream: { options: ["batchSize", (it) => client.readStream(sql, "a-1", it)] },
  readCategory: {
    options: ["consumerGroup", (it) => client.readCategory(sql, "a", it)],
    consumerGroup: [
      "member",
      (it) => client.readCategory(sql, "a", { consumerGroup: { member: 0, size: 1, ...it } }),
    ],
  },
  readAll: { options: ["batchSize", (it) => client.readAll(sql, it)] },
  readMatching: { options: ["batchSize", (it) => client.readMatching(sql, "%", it)] },
  read: {
    "options for $all": ["batchSize", (it) => client.read(sql, "$all", it)],
    "options for a category": ["consumerGroup", (it) => client.read(sql, "a", it)],
    "options for a stream": ["batchSize", (it) => client.read(sql, "a-1", it)],
  },
  readLastMessage: { options: ["type", (it) => client.readLastMessage(sql, "a-1", it)] },
  readMessage: { options: ["messages", (it) => client.readMessage(sql, id, it)] },
  readMessages: { options: ["messages", (it) => client.readMessages(sql, [], it)] },
  iterateStream: { options: ["limit", (it) => client.iterateStream(sql, "a-1", it).next()] },
  iterateCategory: { options: ["limit", (it) => client.iterateCategory(sql, "a", it).next()] },
  iterateAll: {
    options: ["limit", (it) => client.iterateAll(sql, it).next()],
    "options for the way back": [
      "limit",
      (it) => client.iterateAll(sql, { direction: "backward", ...it }).next(),
    ],
  },
  iterateMatching: { options: ["limit", (it) => client.iterateMatching(sql, "%", it).next()] },
  readAggregate: { options: ["consumerGroup", (it) => client.readAggregate(sql, "ledger", it)] },
  subscribe: {
    options: ["startAt", (it) => client.subscribe(sql, "a", it).next()],
    source: ["aggregate", (it) => client.subscribe(sql, { aggregate: "ledger", ...it }).next()],
  },
  settle: { options: ["interval", (it) => client.settle(sql, it)] },
  consume: {
    options: ["onCaughtUp", (it) => client.consume(sql, { ...letters, handle }, it)],
    consumer: ["startAt", (it) => client.consume(sql, { ...letters, handle, ...it })],
    consumerGroup: [
      "member",
      (it) =>
        client.consume(sql, { ...letters, consumerGroup: { member: 0, size: 1, ...it }, handle }),
    ],
    onError: [
      "delay",
      (it) => client.consume(sql, { ...letters, onError: { retry: 1, ...it }, handle }),
    ],
  },
  drain: {
    options: ["deadline", (it) => client.drain(sql, { ...letters, handle }, it)],
    consumer: ["startAt", (it) => client.drain(sql, { ...letters, handle, ...it })],
  },
  replayParked: {
    options: ["until", (it) => client.replayParked(sql, { ...letters, handle }, it)],
    consumer: ["startAt", (it) => client.replayParked(sql, { ...letters, handle, ...it })],
  },
  waitFor: {
    options: ["timeout", (it) => client.waitFor(sql, letters, 1, it)],
    consumer: ["consumerGroup", (it) => client.waitFor(sql, { ...letters, ...it }, 1)],
  },
  aggregate: {
    options: ["once", (it) => client.aggregate(sql, ledger, it)],
    aggregate: ["startAt", (it) => client.aggregate(sql, { ...ledger, ...it })],
  },
  project: { options: ["batchSize", (it) => client.project(sql, "a-1", { ...sum, ...it })] },
  projectCategory: {
    options: ["consumerGroup", (it) => client.projectCategory(sql, "a", { ...sum, ...it })],
  },
  entity: {
    definition: ["batchSize", (it) => client.entity({ ...counters, ...it })],
    snapshot: ["version", (it) => client.entity({ ...counters, snapshot: { every: 1, ...it } })],
    "options of decide": ["retries", (it) => counter.decide(sql, "1", () => message, it)],
  },
  decide: {
    options: ["retries", (it) => client.decide(sql, [[counter, "1"]], () => [message], it)],
  },
  fetchSql: { options: ["headers", (it) => fetchSql("http://localhost/sql", it)] },
  studio: { options: ["basePath", (it) => studio(sql, { authorize: () => true, ...it })] },
  gateway: {
    options: ["basePath", (it) => gateway(sql, { authorize: () => true, ...it })],
  },
  install: {
    options: ["createDatabase", (it) => install(pg, it)],
    partition: ["number", (it) => install(pg, { partition: { number: 0, of: 1, ...it } })],
  },
  partitioned: { options: ["partitionOf", (it) => client.partitioned([sql], it)] },
  isInstalled: { options: ["schema", (it) => isInstalled(pg, it)] },
  uninstall: { options: ["deleteMessages", (it) => uninstall(pg, it)] },
  startEmbedded: { options: ["dataDir", (it) => startEmbedded(it)] },
  consumers: { options: ["category", (it) => operate.consumers(sql, it)] },
  nextMessage: {
    options: ["types", (it) => operate.nextMessage(sql, letters, it)],
    consumer: ["consumerGroup", (it) => operate.nextMessage(sql, { ...letters, ...it })],
  },
  streams: { options: ["limit", (it) => operate.streams(sql, "a", it)] },
  messageTypes: { options: ["category", (it) => operate.messageTypes(sql, it)] },
  findMessages: { options: ["scanLimit", (it) => operate.findMessages(sql, "a", it)] },
  inspectMessage: { options: ["textLength", (it) => operate.inspectMessage(sql, id, it)] },
  activity: {
    options: ["buckets", (it) => operate.activity(sql, { since: new Date(0), ...it })],
  },
  trace: {
    options: ["signal", (it) => operate.trace(sql, { id }, it)],
    start: ["streamName", (it) => operate.trace(sql, { id, ...it })],
  },
  verify: { options: ["batchSize", (it) => operate.verify(sql, it).next()] },
  exportMessages: { options: ["batchSize", (it) => operate.exportMessages(sql, "a", it).next()] },
  compareCopy: { options: ["upTo", (it) => operate.compareCopy(sql, sql, "a", it).next()] },
  planRewind: {
    consumer: ["consumerGroup", (it) => operate.planRewind(sql, { ...letters, ...it }, 1)],
  },
  rewind: { consumer: ["consumerGroup", (it) => operate.rewind(sql, { ...letters, ...it }, 1)] },
  skip: {
    options: ["reason", (it) => operate.skip(sql, letters, id, { reason: "a test", ...it })],
    consumer: [
      "consumerGroup",
      (it) => operate.skip(sql, { ...letters, ...it }, id, { reason: "a test" }),
    ],
  },
  park: {
    options: ["types", (it) => operate.park(sql, letters, id, { reason: "a test", ...it })],
    consumer: [
      "consumerGroup",
      (it) => operate.park(sql, { ...letters, ...it }, id, { reason: "a test" }),
    ],
  },
  parked: {
    options: ["batchSize", (it) => operate.parked(sql, letters, it)],
    consumer: ["consumerGroup", (it) => operate.parked(sql, { ...letters, ...it })],
  },
  discardParked: {
    options: [
      "reason",
      (it) => operate.discardParked(sql, letters, [id], { reason: "a test", ...it }),
    ],
    consumer: [
      "consumerGroup",
      (it) => operate.discardParked(sql, { ...letters, ...it }, [id], { reason: "a test" }),
    ],
  },
  remove: { consumer: ["consumerGroup", (it) => operate.remove(sql, { ...letters, ...it })] },
  prune: { options: ["olderThan", (it) => operate.prune(sql, it)] },
  given: {
    message: ["metadata", (it) => testing.given(counter, [{ ...message, ...it }]).when(() => null)],
    consumer: [
      "consumerGroup",
      (it) => testing.given({ ...letters, handle, ...it }).when({ "account-1": message }),
    ],
    projection: [
      "unknown",
      (it) => testing.given<number>({ ...sum, ...it } as typeof sum, []).state(),
    ],
  },
  testStore: { options: ["url", (it) => testing.testStore(it)] },
  traced: { options: ["parent", (it) => otel.traced(sql, it)] },
  observeStore: { options: ["category", (it) => otel.observeStore(sql, it).stop()] },
  tracedHandler: {
    options: ["basePath", (it) => otel.tracedHandler(() => Promise.resolve(new Response()), it)],
  },
};

/** The functions that take no object with members that have names. */
const without = [
  ...["cardinalId", "category", "id", "ids", "isCategory", "streamName", "types", "idFrom"],
  ...["categoryName", "entityName", "isFollowing"],
  ...["categories", "entityIds", "messageStoreVersion", "streamNames", "streamVersion"],
  ...["fromQuery", "inSchema", "partitionByHash", "partitionFor", "partitions"],
  ...["checkLines", "diagnose", "isSameStore", "storeStatus", "tracedFetch"],
];

test("every function that an entry exports is looked at", async () => {
  const entries = Object.values(denoJson.exports).map((path) => import(`../${path}`));
  const exported = (await Promise.all(entries)).flatMap(Object.entries)
    .filter(([, value]) => typeof value === "function" && !/^class\b/.test(String(value)))
    .map(([name]) => name);
  assert.deepEqual([...new Set(exported)].sort(), [...Object.keys(places), ...without].sort());
});

const inSnakeCase = (name: string) => name.replace(/[A-Z]/g, (it) => `_${it.toLowerCase()}`);
const inKebabCase = (name: string) => inSnakeCase(name).replaceAll("_", "-");

describe.each(Object.entries(places))("%s() refuses", (_, ofFunction) => {
  test.each(Object.entries(ofFunction))("unknown members: %s", async (_, [known, call]) => {
    const misspelt = [known.toUpperCase(), `${inSnakeCase(known)}_`, inKebabCase(known) + "-"];
    for (const name of misspelt) {
      await refused(() => call({ [name]: undefined }), name, ` it must be "${known}"`);
    }
    for (const name of ["no_such_thing", "toString", "__proto__"]) {
      // By a literal, `__proto__` would set the prototype.
      const others = Object.defineProperty({}, name, { value: 1, enumerable: true });
      await refused(() => call(others), name, `"${known}"`);
    }
  });
});

/** Where a consumer's name is asked for, all that it has may be given. */
const whole = {
  ...letters,
  ...{ handlers: { Written: handle }, messages: catalogue, onError: "park", startAt: "end" },
  ...{ batchSize: 10, correlation: "transfer", concurrency: 2, exclusive: false, notify: false },
  ...{ positionUpdateInterval: 1, leaseDuration: 1000, shutdownTimeout: 0, pollInterval: 10 },
  ...{ answerTimeout: 1000, onRetry: handle, onEvent: handle, transactional: false },
} satisfies client.Consumer;
const reason = "a test";
const takers: Record<string, () => Promise<unknown>> = {
  waitFor: () => client.waitFor(sql, whole, 1),
  nextMessage: () => operate.nextMessage(sql, whole),
  parked: () => operate.parked(sql, whole),
  planRewind: () => operate.planRewind(sql, whole, 1),
  rewind: () => operate.rewind(sql, whole, 1),
  skip: () => operate.skip(sql, whole, id, { reason }),
  park: () => operate.park(sql, whole, id, { reason }),
  discardParked: () => operate.discardParked(sql, whole, [id], { reason }),
  remove: () => operate.remove(sql, whole),
};
test.each(Object.entries(takers))("%s() takes a whole consumer", async (_, call) => {
  await assert.rejects(call, /^Error: something was sent$/);
});

test("project() and projectCategory() take the definition of an entity", async () => {
  const definition = { ...counters, snapshot: { every: 10 }, cache: new Map<string, object>() };
  await assert.rejects(client.project(sql, "a-1", definition), /something was sent/);
  await assert.rejects(client.projectCategory(sql, "a", definition), /something was sent/);
});

test("members of a prototype are no unknown ones, and are read", async () => {
  class Settings {
    get expectedVersion() {
      return 7;
    }
    get note() {
      return "of this class";
    }
  }
  assert.equal(new Settings().note, "of this class");
  const db = answering("7");
  assert.equal(await client.write(db.sql, "a-1", message, new Settings()), 7);
  assert.ok(db.parameters().includes("7"));
  assert.equal(await client.write(db.sql, "a-1", Object.create({ type: "T", note: 1 })), 7);
});

/** A handle that answers so, and remembers what it was sent last. */
function answering(json: string) {
  let sent: (string | null)[] = [];
  return {
    sql: client.fromQuery((_, parameters) => {
      sent = parameters;
      return Promise.resolve([{ json }]);
    }),
    parameters: () => sent,
  };
}

const db = useDatabase();
test("a message that was read is written and imported again, with all that reading gives it", async () => {
  const name = "read-1";
  await client.write(db.sql, name, message);
  await client.aggregate(db.sql, { name: "reads", from: ["read"], partition: () => 0 }, {
    once: true,
  });
  const none = client.defineMessages({}, { unknown: "pass" });
  const copies = [
    ...await client.readStream(db.sql, name),
    ...await client.readAggregate(db.sql, "reads"),
    ...await client.readStream(db.sql, name, { messages: none }),
  ].map((it) => ({ ...it, id: crypto.randomUUID() }));
  assert.deepEqual(
    copies.map((it) => Object.keys(it).length),
    [8, 9, 9],
  );
  const writers: ((copy: client.Message) => Promise<unknown>)[] = [
    (it) => client.write(db.sql, "copied-1", it),
    (it) => client.writeBatch(db.sql, "copied-2", [it]),
    (it) => client.append(db.sql, "copied-3", it),
    (it) => client.writeStreams(db.sql, [{ streamName: "copied-4", messages: [it] }]),
    (it) => client.groupCommit(db.sql)("copied-5", it),
    (it) => client.synchronize(db.sql, `copied-${it.id}`, [it]),
    (it) =>
      client.importMessages(db.sql, [{ ...it, streamName: "copied-7" }], { positions: "omit" }),
  ];
  for (const writer of writers) {
    for (const it of copies) await writer({ ...it, id: crypto.randomUUID() });
  }
  const written = await client.readCategory(db.sql, "copied");
  assert.equal(written.length, writers.length * copies.length);
});

async function refused(call: () => unknown, name: string, rule: string): Promise<void> {
  await assert.rejects(async () => await call(), (error) => {
    assert.ok(error instanceof TypeError, String(error));
    assert.match(error.message, /^(Cannot import (message|line) 1: )?Cannot use "/);
    assert.ok(error.message.includes(`Cannot use "${name}" in "`), error.message);
    assert.ok(error.message.includes(rule), error.message);
    return true;
  });
}
