/** Spans find their parents, whatever a handle goes through, and none is left behind. */
import * as client from "@messagedb/client";
import { fetchSql } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import { install } from "@messagedb/client/install";
import { traced, tracedFetch, tracedHandler } from "@messagedb/client/otel";
import { context, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { getEventListeners } from "node:events";
import { beforeEach, describe, expect, test } from "vitest";
import { useDatabase } from "../database.ts";
import { startSdk, treeOf, within } from "./_sdk.ts";

const db = useDatabase();
const sdk = startSdk();
const { tracer, meter } = sdk;
const message = { type: "Opened" };
const tracedSql = () => traced(db.sql, { tracer, meter });
const WRITE = [
  "INTERNAL work",
  "INTERNAL work > PRODUCER send account",
  "INTERNAL work > PRODUCER send account > CLIENT SELECT write_message",
];

beforeEach(() => sdk.reset());

/** The spans of a write within a span. */
async function spansOfWrite(write: () => Promise<unknown>): Promise<string[]> {
  await within(tracer, async () => void await write());
  return treeOf(sdk.spans()).filter((it) => !it.includes("partition_mark"));
}

describe("a write is a child of the active span", () => {
  test.each<[string, () => Promise<unknown>]>([
    ["by a driver's handle", () => client.write(tracedSql(), "account-1", message)],
    [
      "in a transaction",
      () => tracedSql().begin(async (sql) => void await client.write(sql, "account-1", message)),
    ],
    [
      "in a savepoint",
      () =>
        tracedSql().begin((sql) =>
          sql.savepoint(async (sql) => void await client.write(sql, "account-1", message))
        ),
    ],
    ["by a reserved connection", async () => {
      const reserved = await tracedSql().reserve();
      await client.write(reserved, "account-1", message);
      reserved.release();
    }],
    [
      "through fromQuery",
      () => {
        const sql = client.fromQuery((text, parameters) => db.sql.unsafe(text, parameters));
        return client.write(traced(sql, { tracer, meter }), "account-1", message);
      },
    ],
    [
      "through partitioned",
      async () => {
        await install(db.sql, { partition: { number: 0, of: 1 } });
        const sql = client.partitioned([tracedSql()]);
        await client.write(sql, "account-1", message);
        sdk.reset();
        const whole = traced(client.partitioned([db.sql]), { tracer, meter });
        await client.write(whole, "account-2", message);
        sdk.reset();
        await client.write(whole, "account-3", message);
      },
    ],
    [
      "in a schema",
      async () => {
        await install(db.sql, { schema: "tenant_1" });
        const sql = traced(client.inSchema(db.sql, "tenant_1"), { tracer, meter });
        sdk.reset();
        await client.write(sql, "account-1", message);
        const [stored] = await client.readStream(client.inSchema(db.sql, "tenant_1"), "account-1");
        expect(stored!.metadata!.traceparent).toContain("-");
        expect(await client.readStream(db.sql, "account-77")).toEqual([]);
        await sql.begin(async (sql) => void await client.readStream(sql, "account-1"));
      },
    ],
  ])("%s", async (_, write) => {
    const spans = await spansOfWrite(write);
    const writes = spans.filter((it) => !/SELECT messages|COMMIT/.test(it));
    expect(writes.slice(-3)).toEqual(WRITE.slice(-writes.length));
  });

  test("of a schema, whichever comes first", async () => {
    await install(db.sql, { schema: "tenant_2" });
    const sql = client.inSchema(tracedSql(), "tenant_2");
    expect(client.inSchema(tracedSql(), "message_store")).toBeTypeOf("function");
    const spans = await spansOfWrite(() => client.write(sql, "account-1", message));
    expect(spans).toEqual(WRITE);
    sdk.reset();
    await tracedSql().begin(async (sql) => {
      await client.write(client.inSchema(sql, "tenant_2"), "account-1", message);
    });
    expect(treeOf(sdk.spans())).toContain("PRODUCER send account");
    expect(await client.streamVersion(client.inSchema(db.sql, "tenant_2"), "account-1")).toBe(1);
  });

  test("of a partition and of its transactions alike", async () => {
    const sql = client.partitioned([tracedSql()]);
    expect(client.partitions(sql)).toHaveLength(1);
    const whole = traced(client.partitioned([db.sql]), { tracer, meter });
    await client.partitionFor(whole, "account").begin(async (sql) => {
      await client.write(sql, "account-9", message);
    });
    await client.drain(whole, { category: "account", consumerId: "p", handle: () => {} });
    expect(sdk.spans().some(({ name }) => name === "process account")).toBe(true);
    expect(() => traced(sql)).toThrow("Cannot trace this handle: it is traced already");
    expect(() => traced(tracedSql())).toThrow("it is traced already");
  });

  test("over a gateway, in one trace with what the gateway does", async () => {
    const serve = tracedHandler(gateway(tracedSql(), { authorize: () => true }), { tracer });
    const asked: (string | null)[] = [];
    const sql = traced(
      fetchSql("http://gateway/sql", {
        fetch: tracedFetch((url, init) => {
          asked.push(new Headers(init.headers).get("traceparent"));
          // Another process, which has no active span.
          return context.with(
            trace.deleteSpan(context.active()),
            () => serve(new Request(url, init)),
          );
        }),
      }),
      { tracer, meter },
    );
    const { traceId } = await within(tracer, () => client.write(sql, "account-4", message));
    const spans = sdk.spans();
    expect(new Set(spans.map((it) => it.spanContext().traceId))).toEqual(new Set([traceId]));
    expect(treeOf(spans).at(-1)).toBe(
      "INTERNAL work > PRODUCER send account > CLIENT SELECT write_message > SERVER POST /sql > " +
        "CLIENT send account > CLIENT SELECT write_message",
    );
    expect(asked[0]).toMatch(new RegExp(`^00-${traceId}-`));
    expect(spans.find(({ name }) => name === "POST /sql")!.attributes).toMatchObject({
      "http.request.method": "POST",
      "http.route": "/sql",
      "http.response.status_code": 200,
    });
  });
});

describe("the writes of a group are linked to their statement", () => {
  const inTenant = (sql: client.Sql) => client.inSchema(sql, "tenant_3");

  test.each<[string, () => client.Sql]>([
    ["by a driver's handle", tracedSql],
    ["in a traced schema", () => traced(inTenant(db.sql), { tracer, meter })],
    ["in a schema of a traced handle", () => inTenant(tracedSql())],
    ["in traced partitions", () => traced(client.partitioned([db.sql]), { tracer, meter })],
    ["in partitions of traced handles", () => client.partitioned([tracedSql()])],
    [
      "over a gateway",
      () => {
        const serve = gateway(db.sql, { authorize: () => true });
        return traced(
          fetchSql("http://gateway/sql", { fetch: (url, init) => serve(new Request(url, init)) }),
          { tracer, meter },
        );
      },
    ],
  ])("%s", async (_, handle) => {
    await install(db.sql, { schema: "tenant_3" });
    await install(db.sql, { partition: { number: 0, of: 1 } });
    sdk.reset();
    const write = client.groupCommit(handle());
    await Promise.all(["account-1", "account-2"].map((name) => write(name, message)));
    // Partitions ask each store for its mark.
    const spans = sdk.spans().filter(({ name }) => name !== "SELECT");
    expect(treeOf(spans)).toEqual([
      "PRODUCER send account",
      "PRODUCER send account",
      "CLIENT INSERT messages",
    ]);
    expect(spans.map(({ links }) => links.length)).toEqual([1, 1, 2]);
  });
});

describe("the span of a request", () => {
  const request = new Request("http://gateway/streams/account-1/messages");
  const served = () => sdk.spans().find(({ kind }) => kind === SpanKind.SERVER)!;

  test("is marked by the status of an answer from 500 on", async () => {
    const broken = tracedHandler(() => Promise.resolve(new Response("", { status: 503 })), {
      tracer,
    });
    await broken(request);
    expect(served().attributes).toMatchObject({ "error.type": "503" });
    expect(served().status).toEqual({ code: SpanStatusCode.ERROR });
    sdk.reset();
    await tracedHandler(() => Promise.resolve(new Response("", { status: 404 })), { tracer })(
      request,
    );
    expect(served().attributes["error.type"]).toBeUndefined();
    expect(served().status).toEqual({ code: SpanStatusCode.UNSET });
  });

  test("is marked by what the handler throws", async () => {
    const broken = tracedHandler(() => Promise.reject(new RangeError("No")), { tracer });
    await expect(broken(request)).rejects.toThrow("No");
    expect(served().attributes["error.type"]).toBe("RangeError");
    expect(served().status).toEqual({ code: SpanStatusCode.ERROR });
    expect(sdk.open()).toBe(0);
  });

  test("has no more than the method and the path of a request that nobody expects", async () => {
    const handle = tracedHandler(() => Promise.resolve(new Response()), { tracer });
    await handle(new Request("http://gateway/else/S3CRET?token=S3CRET", { method: "SPY" }));
    expect(served().name).toBe("HTTP");
    expect(served().attributes).toEqual({
      "http.request.method": "_OTHER",
      "http.response.status_code": 200,
      "url.path": "/else/S3CRET",
      "url.scheme": "http",
    });
  });

  test("is none where a span is active already", async () => {
    const handle = tracedHandler(() => Promise.resolve(new Response()), { tracer });
    await within(tracer, () => handle(request));
    expect(treeOf(sdk.spans())).toEqual(["INTERNAL work"]);
  });
});

describe("a handler runs within its span", () => {
  /** The names of the spans that are parents of what the handlers wrote. */
  const parents = () => {
    const byId = new Map(sdk.spans().map((span) => [span.spanContext().spanId, span]));
    return sdk.spans().filter(({ name }) => name === "send done").map((it) => {
      const parent = byId.get(it.parentSpanContext?.spanId ?? "");
      return [parent?.name, parent?.attributes["messaging.destination.name"]];
    });
  };
  const handle = async (it: client.Message, { sql }: client.HandlerContext) => {
    await new Promise((resolve) => setImmediate(resolve));
    await client.write(sql, `done-${client.id(it.streamName)}`, message);
  };

  test.each<[string, Partial<client.PlainConsumer>]>([
    ["one after another", {}],
    ["several at the same time", { concurrency: 4 }],
    ["in a transaction", { transactional: true } as never],
    ["in a transaction for each", { transactional: true, commitInterval: 0 } as never],
  ])("%s", async (name, options) => {
    const category = `todo${name.length}${Object.keys(options).length}`;
    for (let at = 0; at < 8; at++) await client.write(db.sql, `${category}-${at}`, message);
    await client.drain(tracedSql(), {
      category,
      consumerId: "it",
      handle,
      ...options,
    } as client.PlainConsumer);
    expect(parents()).toHaveLength(8);
    expect(parents().map(([, stream]) => stream).sort()).toEqual(
      Array.from({ length: 8 }, (_, at) => `${category}-${at}`),
    );
    expect(sdk.open()).toBe(0);
  });

  test("a page", async () => {
    for (const name of ["pile-1", "pile-2"]) await client.write(db.sql, name, message);
    await client.drain(tracedSql(), {
      category: "pile",
      consumerId: "it",
      handlePage: async (messages, { sql }) => {
        for (const it of messages) {
          await client.write(sql, `done-${client.id(it.streamName)}`, message);
        }
      },
    });
    expect(parents()).toEqual([["process pile", "pile"], ["process pile", "pile"]]);
  });

  test("each attempt anew", async () => {
    await client.write(db.sql, "retry-1", message);
    await client.drain(tracedSql(), {
      category: "retry",
      consumerId: "it",
      onError: { retry: 3, delay: 1 },
      handle: async (it, context) => {
        await handle(it, context);
        if (context.attempt < 3) throw new Error("Not yet");
      },
    });
    const attempts = sdk.spans().filter(({ name }) => name === "process retry")
      .map(({ attributes }) => attributes["messagedb.delivery.attempt"]);
    expect(attempts).toEqual([undefined, 2, 3]);
    expect(parents().map(([name]) => name)).toEqual(Array(3).fill("process retry"));
  });

  test("and decides there", async () => {
    await client.write(db.sql, "order-1", message);
    const counter = client.entity({
      category: "done",
      init: () => 0,
      evolve: (state: number) => state + 1,
    });
    await client.drain(tracedSql(), {
      category: "order",
      consumerId: "it",
      handle: async (_, { sql }) => void await counter.decide(sql, "count", () => message),
    });
    expect(parents()).toEqual([["process order", "order-1"]]);
  });

  const first = { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`, tracestate: "x=1" };
  /** Ways to write what follows. */
  const hops:
    ((sql: client.Sql, streamName: string, next: client.MessageInput) => Promise<unknown>)[] = [
      (sql, streamName, next) => client.write(sql, streamName, next),
      (sql, streamName, next) => client.writeBatch(sql, streamName, [next, next]),
      (sql, streamName, next) => client.groupCommit(sql)(streamName, next),
    ];

  test.each([["link", undefined], ["child", "sender"]] as const)(
    "and what follow() makes there is of the handler's span, through three consumers, as a %s",
    async (name, parent) => {
      const sql = traced(db.sql, { tracer, meter, parent });
      const given = { ...message, metadata: { ...first, userId: "Ada" } };
      await client.write(db.sql, `${name}0-1`, given);
      let sender = "b".repeat(16);
      for (const [at, write] of hops.entries()) {
        sdk.reset();
        const to = `${name}${at + 1}`;
        await client.drain(sql, {
          category: `${name}${at}`,
          consumerId: "it",
          handle: (_, { sql, follow }) => write(sql, `${to}-1`, follow(message)).then(() => {}),
        }, { limit: 1 });
        const spanOf = (name: string) => sdk.spans().find((it) => it.name === name)!;
        const process = spanOf(`process ${name}${at}`);
        const send = spanOf(`send ${to}`);
        expect([process.parentSpanContext?.spanId, ...process.links.map((it) => it.context.spanId)])
          .toEqual(parent ? [sender] : [undefined, sender]);
        expect(send.parentSpanContext!.spanId).toBe(process.spanContext().spanId);
        expect([send.kind, send.links.filter(({ context }) => context.spanId === sender)])
          .toEqual([SpanKind.PRODUCER, []]);
        const { traceId, spanId } = send.spanContext();
        for (const { metadata } of await client.readStream(db.sql, `${to}-1`)) {
          expect(metadata).toMatchObject({
            userId: "Ada",
            causationMessageStreamName: `${name}${at}-1`,
            traceparent: `00-${traceId}-${spanId}-01`,
          });
          expect(metadata!.tracestate).toBe(parent && "x=1");
        }
        sender = spanId;
      }
    },
  );

  test("and a trace that the handler gives stays", async () => {
    await client.write(tracedSql(), "given-1", message);
    await client.drain(tracedSql(), {
      category: "given",
      consumerId: "it",
      handle: async (_, { sql, follow }) => {
        for (const write of hops) {
          await write(sql, "done-given", follow({ ...message, metadata: first }));
        }
      },
    });
    const stored = await client.readStream(db.sql, "done-given");
    expect(stored).toHaveLength(4);
    for (const { metadata } of stored) expect(metadata).toMatchObject(first);
  });
});

test("a subscription receives within the span that asks for its messages", async () => {
  await client.write(db.sql, "feed-1", message);
  await within(tracer, async () => {
    for await (const _ of client.subscribe(tracedSql(), "feed-1")) break;
  });
  expect(treeOf(sdk.spans())).toContain("INTERNAL work > CLIENT receive feed");
});

test("10,000 retries leave no span open and no listener behind", async () => {
  const retries = 10_000;
  const messages = Array.from({ length: retries / 100 }, () => message);
  for (let at = 0; at < 100; at++) await client.writeBatch(db.sql, `stubborn-${at}`, messages);
  const end = new AbortController();
  let signal: AbortSignal | undefined;
  let listeners = 0;
  await client.drain(tracedSql(), {
    category: "stubborn",
    consumerId: "it",
    concurrency: 100,
    onError: { retry: 1, delay: 1 },
    handle: (_, context) => {
      signal ??= context.signal;
      listeners = Math.max(listeners, getEventListeners(signal, "abort").length);
      if (context.attempt === 1) throw new Error("Not yet");
    },
  }, { signal: end.signal });
  const attempts = sdk.spans().filter(({ name }) => name === "process stubborn");
  expect(attempts).toHaveLength(2 * retries);
  expect(attempts.filter(({ attributes }) => attributes["error.type"] === "Error"))
    .toHaveLength(retries);
  expect(sdk.open()).toBe(0);
  expect(listeners).toBeLessThan(10);
  expect(getEventListeners(signal!, "abort")).toHaveLength(0);
  expect(getEventListeners(end.signal, "abort")).toHaveLength(0);
  const retried = (await sdk.metrics()).find(({ descriptor }) =>
    descriptor.name === "messagedb.consumer.retries"
  );
  expect(
    retried!.dataPoints.find(({ attributes }) =>
      attributes["messaging.destination.template"] === "stubborn"
    )!.value,
  ).toBe(retries);
});
