/** Which spans each operation makes, with the SDK. */
import * as client from "@messagedb/client";
import { consumers, rewind } from "@messagedb/client/operate";
import { traced } from "@messagedb/client/otel";
import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { AlwaysOffSampler } from "@opentelemetry/sdk-trace";
import { beforeEach, describe, expect, test } from "vitest";
import { METRIC } from "../../src/otel/_conventions.ts";
import { operations, programs } from "../_operations.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { startSdk, treeOf, within } from "./_sdk.ts";

const db = useDatabase();
const sdk = startSdk();
const { tracer, meter } = sdk;
const message = { type: "Opened", data: { secret: "a value" } };
const tracedSql = () => traced(db.sql, { tracer, meter });

beforeEach(async () => {
  // A read ahead may be under way while its consumer has ended.
  await until(() => sdk.open() === 0);
  sdk.reset();
});

const send = (category: string, statement: string) => [
  `PRODUCER send ${category}`.trim(),
  `PRODUCER send ${category}`.trim() + ` > CLIENT ${statement}`,
];
const SELECT = ["CLIENT SELECT messages"];

/** The spans of each operation, but for those of several statements. */
const table: Record<string, readonly string[]> = {
  write: send("account", "SELECT write_message"),
  "write with an id": send("account", "SELECT write_message"),
  "write with a known id": send("known", "SELECT write_message"),
  writeBatch: send("account", "INSERT messages"),
  "writeBatch again": send("known", "INSERT messages"),
  append: send("account", "INSERT messages"),
  "append again": send("known", "INSERT messages"),
  reply: send("account", "SELECT write_message"),
  writeStreams: send("", "INSERT messages"),
  synchronize: send("s", "INSERT messages"),
  groupCommit: ["PRODUCER send account", "PRODUCER send b", "CLIENT INSERT messages"],
  importMessages: ["CLIENT INSERT messages"],
  readStream: SELECT,
  "readStream backward": SELECT,
  "readStream of none": SELECT,
  readCategory: SELECT,
  "readCategory backward": SELECT,
  readAll: SELECT,
  "readAll backward": SELECT,
  readMatching: SELECT,
  read: SELECT,
  readLastMessage: SELECT,
  readMessage: SELECT,
  readMessages: SELECT,
  streamVersion: SELECT,
  iterateStream: SELECT,
  iterateCategory: SELECT,
  iterateAll: SELECT,
  iterateMatching: SELECT,
  subscribe: ["CLIENT receive known", "CLIENT receive known > CLIENT SELECT messages"],
  readAggregate: SELECT,
  streamNames: SELECT,
  entityIds: SELECT,
  categories: SELECT,
  messageStoreVersion: ["CLIENT SELECT message_store_version"],
};

const receive = ["CLIENT receive known", "CLIENT receive known > CLIENT SELECT messages"];
const settle = ["CLIENT settle known", "CLIENT settle known > CLIENT SELECT write_message"];
const handled = [...receive, ...settle, "CONSUMER process known"];

/** The spans of what is made of several statements, each once, but for statements alone. */
const tableOfPrograms: Record<string, readonly string[]> = {
  consume: handled,
  drain: handled,
  replayParked: [],
  project: [],
  projectCategory: [],
  entity: [],
  decide: send("counter", "INSERT messages"),
  "decide by a command": send("said", "INSERT messages"),
  waitFor: [],
  settle: send("known", "SELECT write_message"),
  aggregate: [
    ...receive,
    "CONSUMER process known",
    "CONSUMER process known > CLIENT settle known",
    "CONSUMER process known > CLIENT settle known > CLIENT INSERT messages",
  ],
};

describe("the spans of", () => {
  test.each(Object.entries(table))("%s", async (name, spans) => {
    await client.write(db.sql, "known-1", { type: "Known" });
    await operations[name]!(tracedSql());
    expect(treeOf(sdk.spans()).sort()).toEqual([...spans].sort());
    expect(sdk.spans().filter(({ attributes }) => attributes["error.type"])).toEqual([]);
    expect(sdk.open()).toBe(0);
  });

  test.each(Object.entries(tableOfPrograms))(
    "%s, which sends several statements",
    async (name, spans) => {
      for (const streamName of ["known-1", "account-1"]) {
        await client.write(db.sql, streamName, { type: "Known" });
      }
      await programs[name]!(tracedSql());
      await until(() => sdk.open() === 0);
      const paths = new Set(treeOf(sdk.spans()).filter((it) => !/^CLIENT SELECT \w+$/.test(it)));
      expect([...paths].sort()).toEqual([...spans].sort());
      expect(sdk.spans().filter(({ attributes }) => attributes["error.type"])).toEqual([]);
    },
  );

  test("each operation are in a table", () => {
    expect(Object.keys(table).sort()).toEqual(Object.keys(operations).sort());
    expect(Object.keys(tableOfPrograms).sort()).toEqual(Object.keys(programs).sort());
  });

  test("a consumer: it receives, processes and settles", async () => {
    await client.write(db.sql, "parcel-1", message);
    const consumer = { category: "parcel", consumerId: "letters", handle: () => {} };
    await client.drain(tracedSql(), consumer);
    const spans = sdk.spans();
    const kinds = spans.filter(({ name }) => / parcel$/.test(name))
      .map(({ name, kind }) => `${name} ${SpanKind[kind]}`);
    expect(kinds).toEqual([
      "receive parcel CLIENT",
      "settle parcel CLIENT",
      "process parcel CONSUMER",
      "settle parcel CLIENT",
    ]);
    const process = spans.find(({ name }) => name === "process parcel")!;
    expect(process.attributes).toMatchObject({
      "messaging.system.name": "message_db",
      "messaging.operation.name": "process",
      "messaging.operation.type": "process",
      "messaging.destination.template": "parcel",
      "messaging.destination.name": "parcel-1",
      "messaging.consumer.group.name": "letters",
    });
  });

  test("a member of a group have its number, and no stream in a name", async () => {
    await client.write(db.sql, "crate-1", message);
    await client.drain(tracedSql(), {
      category: "crate",
      consumerId: "letters",
      consumerGroup: { size: 1 },
      handle: () => {},
    });
    const settle = sdk.spans().find(({ name }) => name === "settle crate")!;
    expect(settle.attributes).toMatchObject({
      "messaging.consumer.group.name": "letters",
      "messaging.destination.partition.id": "0",
      "messagedb.settlement": "position",
    });
    expect(sdk.spans().filter(({ name }) => name.includes("-"))).toEqual([]);
  });

  test("a parked message settle it, and its replay is marked", async () => {
    const sql = tracedSql();
    await client.write(sql, "box-1", message);
    const consumer = { category: "box", consumerId: "letters", onError: "park" } as const;
    await client.drain(sql, { ...consumer, handle: () => Promise.reject(new RangeError("No")) });
    const [failed] = sdk.spans().filter(({ name }) => name === "process box");
    expect(failed!.status).toEqual({ code: SpanStatusCode.ERROR });
    expect(failed!.attributes["error.type"]).toBe("RangeError");
    expect(sdk.spans().some((it) => it.attributes["messagedb.settlement"] === "parked")).toBe(true);
    sdk.reset();
    await client.replayParked(sql, { ...consumer, handle: () => {} });
    const received = sdk.spans().filter(({ name }) => name === "receive box");
    expect(received.map(({ links }) => links.length)).toEqual([1]);
    const [replayed] = sdk.spans().filter(({ name }) => name === "process box");
    expect(replayed!.attributes["messagedb.delivery.reason"]).toBe("replay");
    expect(replayed!.attributes["error.type"]).toBeUndefined();
  });

  test("what comes again after a rewind are marked, and what is new is not", async () => {
    await client.write(db.sql, "chest-1", message);
    const consumer = { category: "chest", consumerId: "letters", handle: () => {} };
    await client.drain(db.sql, consumer);
    await rewind(db.sql, { category: "chest", consumerId: "letters" }, "beginning");
    await client.write(db.sql, "chest-1", message);
    await client.drain(tracedSql(), consumer);
    const marks = sdk.spans().filter(({ name }) => name === "process chest")
      .map(({ attributes }) => attributes["messagedb.delivery.reason"]);
    expect(marks).toEqual(["rewind", undefined]);
  });

  test("what comes again to a running consumer are marked, too", async () => {
    await client.write(db.sql, "trunk-1", message);
    const end = new AbortController();
    let handled = 0;
    const consuming = client.consume(tracedSql(), {
      category: "trunk",
      consumerId: "letters",
      pollInterval: 20,
      positionUpdateInterval: 1,
      handle: () => void handled++,
    }, { signal: end.signal });
    await until(() => handled === 1);
    await rewind(db.sql, { category: "trunk", consumerId: "letters" }, "beginning");
    await until(() => handled === 2);
    end.abort();
    await consuming;
    const marks = sdk.spans().filter(({ name }) => name === "process trunk")
      .map(({ attributes }) => attributes["messagedb.delivery.reason"]);
    expect(marks).toEqual([undefined, "rewind"]);
  });

  test("an aggregate: it receives, processes a page, and settles by what it writes", async () => {
    const sql = tracedSql();
    await client.write(sql, "tray-1", message);
    await client.write(sql, "tray-2", message);
    sdk.reset();
    const trays: client.Aggregate = { name: "shelf", from: ["tray"], partition: () => 0 };
    await client.aggregate(sql, trays, { once: true });
    const spans = sdk.spans().filter(({ name }) => !/ messages$/.test(name));
    expect(treeOf(spans)).toEqual([
      "CLIENT receive shelf",
      "CONSUMER process shelf",
      "CONSUMER process shelf > CLIENT settle shelf",
    ]);
    const [received, processed] = spans;
    expect(received!.attributes["messaging.batch.message_count"]).toBe(2);
    expect(processed!.attributes["messaging.batch.message_count"]).toBe(2);
    expect(received!.links).toHaveLength(2);
    expect(processed!.links).toHaveLength(2);
    sdk.reset();
    await client.write(db.sql, "tray-3", message);
    const failing: client.Aggregate["partition"] = () => {
      throw new RangeError("No");
    };
    await expect(client.aggregate(sql, { ...trays, partition: failing }, { once: true }))
      .rejects.toThrow("No");
    const failed = sdk.spans().filter(({ name }) => name === "process shelf").at(-1)!;
    expect(failed.attributes["error.type"]).toBe("RangeError");
    expect(sdk.open()).toBe(0);
  });

  test("a transaction end with that of its COMMIT, or of its ROLLBACK", async () => {
    const sql = tracedSql();
    await within(tracer, () => sql.begin((sql) => client.write(sql, "till-1", message)));
    expect(treeOf(sdk.spans()).at(-1)).toBe("INTERNAL work > CLIENT COMMIT");
    expect(sdk.spans().at(-1)!.attributes).toMatchObject({
      "db.system.name": "postgresql",
      "db.operation.name": "COMMIT",
      "db.query.summary": "COMMIT",
    });
    sdk.reset();
    await expect(sql.begin(() => Promise.reject(new Error("No")))).rejects.toThrow("No");
    await db.sql`create table slip (id int unique deferrable initially deferred)`;
    await expect(sql.begin(async (sql) => void await sql`insert into slip values (1), (1)`))
      .rejects.toThrow("slip_id_key");
    expect(await sql.begin((sql) => [sql`select 1 as one`])).toEqual([[{ one: 1 }]]);
    const ends = sdk.spans().map(({ name, status, attributes }) => [
      name,
      status.code,
      attributes["db.response.status_code"],
    ]);
    expect(ends).toEqual([
      ["ROLLBACK", SpanStatusCode.UNSET, undefined],
      ["COMMIT", SpanStatusCode.ERROR, "23505"],
    ]);
    const measured = (await sdk.metrics()).find(({ descriptor }) =>
      descriptor.name === METRIC.statementDuration
    )!.dataPoints.map(({ attributes }) => attributes["db.operation.name"]);
    expect(measured).toEqual(expect.arrayContaining(["COMMIT", "ROLLBACK"]));
    expect(sdk.open()).toBe(0);
  });

  test("a transactional consumer end with that of its COMMIT", async () => {
    await client.write(db.sql, "safe-1", message);
    const consumer = { category: "safe", consumerId: "it", transactional: true } as const;
    await client.drain(tracedSql(), { ...consumer, handle: () => {} });
    const names = sdk.spans().map(({ name }) => name).filter((it) =>
      !/ (messages|write_)/.test(it)
    );
    expect(names).toEqual([
      "receive safe",
      "settle safe",
      "process safe",
      "settle safe",
      "COMMIT",
      "settle safe",
    ]);
  });

  test("what operators ask are statements alone", async () => {
    await consumers(tracedSql());
    expect(treeOf(sdk.spans())).toEqual(["CLIENT SELECT messages"]);
  });
});

test("a trace that is not sampled leaves metadata as they are, and is counted", async () => {
  const off = startSdk(new AlwaysOffSampler());
  const sql = traced(db.sql, { tracer: off.tracer, meter: off.meter });
  await client.write(sql, "off-1", message);
  await client.writeBatch(sql, "off-1", [message, message]);
  await client.groupCommit(sql)("off-1", message);
  await client.drain(sql, { category: "off", consumerId: "it", handle: () => {} });
  const stored = await client.readStream(db.sql, "off-1");
  expect(stored.map(({ metadata }) => metadata)).toEqual([null, null, null, null]);
  expect(off.spans()).toEqual([]);
  const names = (await off.metrics()).map(({ descriptor }) => descriptor.name);
  expect(names).toEqual(expect.arrayContaining(Object.values(METRIC)));
});

test("no attribute, name, event or metric holds data, and no metric a stream", async () => {
  const sql = tracedSql();
  const secret = { type: "Secret", data: { value: "S3CRET" }, metadata: { userId: "S3CRET" } };
  for (
    const operation of [
      () => client.write(sql, "secret-1", secret),
      () => client.writeBatch(sql, "secret-1", [secret, secret]),
      () => client.groupCommit(sql)("secret-2", secret),
      () => client.write(sql, "secret-1", secret, { expectedVersion: 99 }),
      () => client.readStream(sql, "secret-1", { condition: "S3CRET" }),
      () =>
        client.drain(sql, {
          category: "secret",
          consumerId: "it",
          onError: "park",
          handle: () => Promise.reject(new Error("S3CRET")),
        }),
    ]
  ) await operation().catch(() => {});
  const spans = sdk.spans().map(({ name, attributes, events, status, links }) => ({
    name,
    attributes,
    events,
    status,
    links,
  }));
  expect(spans.length).toBeGreaterThan(8);
  expect(JSON.stringify(spans)).not.toContain("S3CRET");
  const metrics = JSON.stringify(
    (await sdk.metrics()).flatMap(({ descriptor, dataPoints }) => [
      descriptor,
      dataPoints.map(({ attributes }) => attributes),
    ]),
  );
  expect(metrics).toContain('"messaging.destination.template":"secret"');
  expect(metrics).not.toMatch(/S3CRET|secret-1|message\.id|destination\.name/);
});
