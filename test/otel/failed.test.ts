/** Failed operations are marked, in whichever way they fail. */
import * as client from "@messagedb/client";
import { fetchSql } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import { traced } from "@messagedb/client/otel";
import { SpanStatusCode } from "@opentelemetry/api";
import { AlwaysOffSampler } from "@opentelemetry/sdk-trace";
import { beforeEach, describe, expect, test } from "vitest";
import { ATTRIBUTE, METRIC } from "../../src/otel/_conventions.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { startSdk } from "./_sdk.ts";

const db = useDatabase();
const sdk = startSdk();
const { tracer, meter } = sdk;
const message = { type: "Opened" };
const id = () => crypto.randomUUID();
const tracedSql = () => traced(db.sql, { tracer, meter });

beforeEach(async () => {
  // A read ahead may be under way while its consumer has ended.
  await until(() => sdk.open() === 0);
  sdk.reset();
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
