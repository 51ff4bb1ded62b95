/** Links and metadata lead from what is received to who has sent it. */
import * as client from "@messagedb/client";
import { traced } from "@messagedb/client/otel";
import { SpanKind } from "@opentelemetry/api";
import { beforeEach, describe, expect, test } from "vitest";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { startSdk, within } from "./_sdk.ts";

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
