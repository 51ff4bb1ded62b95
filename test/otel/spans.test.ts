/** Which spans each operation makes, with the SDK. */
import * as client from "@messagedb/client";
import { fetchSql } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import { consumers, rewind } from "@messagedb/client/operate";
import { traced } from "@messagedb/client/otel";
import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { AlwaysOffSampler } from "@opentelemetry/sdk-trace";
import { beforeEach, describe, expect, test } from "vitest";
import { ATTRIBUTE, METRIC } from "../../src/otel/_conventions.ts";
import { operations, programs } from "../_operations.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { startSdk, treeOf, within } from "./_sdk.ts";

const db = useDatabase();
const sdk = startSdk();
const { tracer, meter } = sdk;
const message = { type: "Opened", data: { secret: "a value" } };
const id = () => crypto.randomUUID();
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

describe("a failed operation", () => {
  test("is marked in its span by the error that the caller gets, and by PostgreSQL's state below", async () => {
    const sql = tracedSql();
    await client.write(sql, "wallet-1", message);
    sdk.reset();
    await expect(client.write(sql, "wallet-1", message, { expectedVersion: 5 })).rejects.toThrow();
    const [sent, statement] = sdk.spans();
    expect(sent!.attributes["error.type"]).toBe("WrongExpectedVersionError");
    expect(sent!.status).toEqual({ code: SpanStatusCode.ERROR });
    expect(statement!.attributes).toMatchObject({
      "error.type": "P0001",
      "db.response.status_code": "P0001",
    });
    expect([sent, statement].flatMap((it) => it!.events)).toEqual([]);
  });

  const taken = id();
  /** What finds an error in the answer to its statement, which has not failed. */
  const refused: Record<string, [error: string, work: (sql: client.Sql) => Promise<unknown>]> = {
    "write, whose id another stream has": [
      "DuplicateMessageError",
      (sql) => client.write(sql, "found-1", { ...message, id: taken }),
    ],
    "writeBatch, of whose messages one is known": [
      "DuplicateMessageError",
      (sql) => client.writeBatch(sql, "taken-1", [{ ...message, id: taken }, message]),
    ],
    "append, whose message another stream has": [
      "DuplicateMessageError",
      (sql) => client.append(sql, "found-1", { ...message, id: taken }),
    ],
    "writeStreams, whose message another stream has": [
      "DuplicateMessageError",
      (sql) =>
        client.writeStreams(sql, [
          { streamName: "taken-2", messages: [], expectedVersion: client.NO_STREAM },
          { streamName: "found-1", messages: [{ ...message, id: taken }, message] },
        ]),
    ],
    "writeStreams, which cannot check a stream": [
      "Error",
      (sql) =>
        (sql as typeof db.sql).begin(
          "isolation level repeatable read",
          (sql) =>
            client.writeStreams(sql, [
              { streamName: "taken-2", messages: [], expectedVersion: client.NO_STREAM },
              { streamName: "found-1", messages: [message] },
            ]),
        ),
    ],
    "synchronize, where another message is": [
      "MessageMismatchError",
      (sql) => client.synchronize(sql, "taken-1", [{ ...message, id: id() }]),
    ],
  };

  test.each(Object.entries(refused))("is marked: %s", async (_, [error, work]) => {
    await client.write(db.sql, "taken-1", { ...message, id: taken });
    const rejection = await work(tracedSql()).then(() => undefined, (it: Error) => it);
    expect(rejection?.name).toBe(error);
    const [sent, statement, ...others] = sdk.spans();
    expect(others.filter(({ name }) => name !== "ROLLBACK")).toEqual([]);
    expect(sent!.attributes["error.type"]).toBe(error);
    expect(sent!.status).toEqual({ code: SpanStatusCode.ERROR });
    expect(statement!.attributes["error.type"]).toBeUndefined();
    const off = startSdk(new AlwaysOffSampler());
    await work(traced(db.sql, { tracer: off.tracer, meter: off.meter })).catch(() => {});
    const counted = (await off.metrics()).find(({ descriptor }) => descriptor.name === METRIC.sent);
    expect(counted!.dataPoints.map(({ attributes }) => attributes["error.type"])).toContain(error);
  });

  test("of a group is that write's alone", async () => {
    const write = client.groupCommit(tracedSql());
    await write("purse-1", message);
    await client.write(db.sql, "taken-1", { ...message, id: taken });
    sdk.reset();
    const outcomes = await Promise.allSettled([
      write("purse-1", message, { expectedVersion: 7 }),
      write("purse-2", message),
      write("purse-2", { ...message, id: taken }),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "rejected"]);
    await write("purse-2", { ...message, id: taken }).catch(() => {});
    const types = sdk.spans().filter(({ name }) => name === "send purse")
      .map(({ attributes }) => attributes["error.type"]);
    const [wrong, duplicate] = ["WrongExpectedVersionError", "DuplicateMessageError"];
    expect(types).toEqual([wrong, undefined, duplicate, duplicate]);
  });

  /** The counts of sent messages, by category and error. */
  const sentBy = async ({ metrics }: ReturnType<typeof startSdk>) => {
    const sent = (await metrics()).find(({ descriptor }) => descriptor.name === METRIC.sent);
    return Object.fromEntries(
      sent!.dataPoints.map(({ attributes, value }) => [
        `${attributes[ATTRIBUTE.template]} ${attributes["error.type"] ?? "-"}`,
        value,
      ]),
    );
  };

  test("of a group that comes to a gateway marks the gateway's span, and is counted alone", async () => {
    const server = startSdk();
    const handle = gateway(traced(db.sql, { tracer: server.tracer, meter: server.meter }), {
      authorize: () => true,
    });
    const write = client.groupCommit(
      fetchSql("http://gateway/sql", { fetch: (url, init) => handle(new Request(url, init)) }),
    );
    await client.write(db.sql, "taken-1", { ...message, id: taken });
    const outcomes = await Promise.allSettled([
      write("chest9-1", message),
      write("chest9-1", { ...message, id: taken }),
      write("chest9-2", message, { expectedVersion: 7 }),
      write("chest9-2", message, { expectedVersion: client.NO_STREAM }),
    ]);
    expect(outcomes.map(({ status }) => status))
      .toEqual(["fulfilled", "rejected", "rejected", "fulfilled"]);
    const [sent, ...others] = server.spans().filter(({ name }) => name === "send chest9");
    expect(others).toEqual([]);
    expect(sent!.attributes["error.type"]).toBe("DuplicateMessageError");
    expect(sent!.status).toEqual({ code: SpanStatusCode.ERROR });
    expect(await sentBy(server)).toEqual({
      "chest9 -": 2,
      "chest9 DuplicateMessageError": 1,
      "chest9 WrongExpectedVersionError": 1,
    });
  });

  test("is not that of a write which waits for the lock of its category", async () => {
    const server = startSdk();
    const handle = gateway(traced(db.sql, { tracer: server.tracer, meter: server.meter }), {
      authorize: () => true,
    });
    const write = client.groupCommit(
      fetchSql("http://gateway/sql", { fetch: (url, init) => handle(new Request(url, init)) }),
    );
    let writing: Promise<unknown>[] = [];
    await db.sql.begin(async (sql) => {
      await client.write(sql, "held-1", message);
      writing = ["held-2", "free-1"].map((name) => write(name, message));
      await writing[1];
    });
    await Promise.all(writing);
    expect(await sentBy(server)).toEqual({ "held -": 1, "free -": 1 });
    expect(server.spans().filter(({ attributes }) => attributes["error.type"])).toEqual([]);
  });

  test("is marked where a position is not stored, because another message is there", async () => {
    await client.write(db.sql, "vault-1", message);
    const end = new AbortController();
    let handled = 0;
    const consuming = client.consume(tracedSql(), {
      category: "vault",
      consumerId: "it",
      pollInterval: 20,
      positionUpdateInterval: 1,
      handle: () => void handled++,
    }, { signal: end.signal });
    await until(() => handled === 1);
    // As after a failover to a server where another process has stored that version.
    const position = "vault:position-it";
    await until(async () => await client.streamVersion(db.sql, position) === 1);
    await db.sql`
      update message_store.messages set id = ${id()} where stream_name = ${position} and position = 1
    `;
    await client.write(db.sql, "vault-1", message);
    const settles = () =>
      sdk.spans().filter(({ name }) => name === "settle vault")
        .map(({ attributes }) => attributes["error.type"]);
    await until(() => settles().includes("StoreWentBackError"));
    end.abort();
    await consuming;
  });

  test("is marked in the span of the statement where it is an import", async () => {
    await client.write(db.sql, "taken-1", { ...message, id: taken });
    const sql = tracedSql();
    const importing = (given: object) =>
      client.importMessages(sql, [{ ...message, streamName: "moved-1", id: taken, ...given }])
        .then(() => undefined, (error: Error) => error.name);
    const copied = { position: 7, globalPosition: 7, time: new Date() };
    const errors = [
      await importing({}),
      await importing(copied),
      await importing({
        ...copied,
        streamName: "taken:position-it",
        id: id(),
        type: "Recorded",
        data: { position: 3 },
      }),
    ];
    expect(errors).toEqual(["DuplicateMessageError", "DuplicateMessageError", "TypeError"]);
    expect(sdk.spans().map(({ attributes }) => attributes["error.type"])).toEqual(errors);
    expect(sdk.spans().map(({ status }) => status.code)).toEqual(
      Array(3).fill(SpanStatusCode.ERROR),
    );
    const durations = (await sdk.metrics()).find(({ descriptor }) =>
      descriptor.name === METRIC.statementDuration
    )!.dataPoints.map(({ attributes }) => attributes["error.type"]);
    expect(durations).toEqual(expect.arrayContaining(["DuplicateMessageError", "TypeError"]));
  });

  test("whose connection is refused has the code of that", async () => {
    const gone = db.connect({ host: "127.0.0.1", port: 1, max: 1 });
    await expect(client.streamVersion(traced(gone, { tracer, meter }), "a-1")).rejects.toThrow();
    expect(sdk.spans()[0]!.attributes["error.type"]).toBe("ECONNREFUSED");
  });
});

describe("links", () => {
  test("lead from each write of a group to the statement that carried it, and back", async () => {
    const write = client.groupCommit(tracedSql());
    await Promise.all(["a-1", "a-2", "b-1"].map((name) => write(name, message)));
    const spans = sdk.spans();
    const statement = spans.find(({ name }) => name === "INSERT messages")!;
    const sends = spans.filter(({ name }) => name.startsWith("send "));
    expect(sends).toHaveLength(3);
    expect(statement.parentSpanContext).toBeUndefined();
    expect(statement.links.map(({ context }) => context.spanId).sort())
      .toEqual(sends.map((it) => it.spanContext().spanId).sort());
    for (const { links } of sends) {
      expect(links.map(({ context }) => context.spanId)).toEqual([statement.spanContext().spanId]);
    }
  });

  test("lead from what is received and processed to its sender, in a trace of its own", async () => {
    const sql = tracedSql();
    await client.write(sql, "letter-1", message);
    const [sent] = sdk.spans();
    sdk.reset();
    await client.drain(sql, { category: "letter", consumerId: "it", handle: () => {} });
    for (const name of ["receive letter", "process letter"]) {
      const span = sdk.spans().find((it) => it.name === name)!;
      expect(span.links.map(({ context }) => context.spanId)).toEqual([sent!.spanContext().spanId]);
      expect(span.spanContext().traceId).not.toBe(sent!.spanContext().traceId);
    }
  });

  test("lead from a page that is handled to all senders", async () => {
    const sql = tracedSql();
    for (const name of ["sheet-1", "sheet-2"]) await client.write(sql, name, message);
    sdk.reset();
    await client.drain(sql, { category: "sheet", consumerId: "it", handlePage: () => {} });
    const [span, ...others] = sdk.spans().filter(({ name }) => name === "process sheet");
    expect(others).toEqual([]);
    expect(span!.links).toHaveLength(2);
    expect(span!.attributes["messaging.batch.message_count"]).toBe(2);
  });

  test("are none where the handler is asked to be the sender's child", async () => {
    const sql = traced(db.sql, { tracer, meter, parent: "sender" });
    await client.write(sql, "child-1", message);
    const [sent] = sdk.spans();
    await client.drain(sql, { category: "child", consumerId: "it", handle: () => {} });
    const span = sdk.spans().find(({ name }) => name === "process child")!;
    expect(span.parentSpanContext!.spanId).toBe(sent!.spanContext().spanId);
    expect(span.spanContext().traceId).toBe(sent!.spanContext().traceId);
    expect(span.links).toEqual([]);
  });
});

describe("metadata", () => {
  const metadataOf = async (streamName: string) =>
    (await client.readStream(db.sql, streamName)).map(({ metadata }) => metadata);

  test("get the trace of what writes them, and keep what they have", async () => {
    const sql = tracedSql();
    const { traceId } = await within(tracer, async () => {
      await client.write(sql, "meta-1", message);
      await client.write(sql, "meta-1", { ...message, metadata: { userId: "Ada" } });
      await client.write(sql, "meta-1", { ...message, metadata: {} });
      await client.writeBatch(sql, "meta-1", [message, { ...message, metadata: { userId: "B" } }]);
      await client.groupCommit(sql)("meta-1", message);
      await client.synchronize(sql, "meta-2", [{ ...message, id: id() }]);
    });
    const traceparent = expect.stringMatching(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`));
    expect(await metadataOf("meta-1")).toEqual([
      { traceparent },
      { userId: "Ada", traceparent },
      { traceparent },
      { traceparent },
      { userId: "B", traceparent },
      { traceparent },
    ]);
    expect(await metadataOf("meta-2")).toEqual([{ traceparent }]);
  });

  test("keep a trace of their own, which the sending is linked to", async () => {
    const own = { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`, tracestate: "x=1" };
    const sql = tracedSql();
    await client.write(sql, "kept-1", { ...message, metadata: own });
    await client.writeBatch(sql, "kept-1", [{ ...message, metadata: own }, message]);
    await client.groupCommit(sql)("kept-1", { ...message, metadata: own });
    const stored = await metadataOf("kept-1");
    expect([stored[0], stored[1], stored[3]]).toEqual([own, own, own]);
    const [sent] = sdk.spans();
    expect(sent!.kind).toBe(SpanKind.CLIENT);
    expect(sent!.links.map(({ context }) => context.spanId)).toEqual(["b".repeat(16)]);
  });

  test("of data that look like metadata stay what they are", async () => {
    const odd = {
      metadata: [null, { traceparent: "x" }],
      text: '"metadata":[{}]}',
      n: 1e21,
      z: 'é\\"',
    };
    await client.writeBatch(tracedSql(), "odd-1", [
      { type: "A", data: odd, metadata: { metadata: [odd], 2: "b", 1: "a" } },
      { type: "B", data: [odd], metadata: null },
    ]);
    const [first, second] = await client.readStream(db.sql, "odd-1");
    expect([first!.data, second!.data]).toEqual([odd, [odd]]);
    expect(first!.metadata).toMatchObject({ metadata: [odd], 2: "b", 1: "a" });
    expect(first!.metadata!.traceparent).toBe(second!.metadata!.traceparent);
  });

  test("of imports and of the library's own messages stay as they are", async () => {
    const sql = tracedSql();
    await client.importMessages(sql, [{ ...message, id: id(), streamName: "moved-1" }]);
    await client.drain(sql, {
      category: "moved",
      consumerId: "it",
      handle: () => "park" as const,
    });
    await client.aggregate(sql, { name: "ledger", from: ["moved"], partition: () => 0 }, {
      once: true,
    });
    const counts = client.entity({
      category: "moved",
      init: () => 0,
      evolve: (state: number) => state + 1,
      snapshot: { every: 1 },
    });
    await counts.fetch(sql, "1");
    const all = await client.readAll(db.sql);
    const traces = all.filter(({ streamName }) => /^(moved|ledger)/.test(streamName))
      .map(({ metadata }) => metadata?.traceparent);
    expect(traces.length).toBeGreaterThan(4);
    expect(traces.filter((it) => it !== undefined)).toEqual([]);
  });

  test("of a message that is written again are those of the first time", async () => {
    const sql = tracedSql();
    const again = { ...message, id: id() };
    const first = await client.write(sql, "again-1", again);
    expect(await client.write(sql, "again-1", again)).toBe(first);
    const [, second] = sdk.spans().filter(({ name }) => name === "send again");
    const [stored] = await metadataOf("again-1");
    expect(await metadataOf("again-1")).toHaveLength(1);
    expect(stored!.traceparent).not.toContain(second!.spanContext().spanId);
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
