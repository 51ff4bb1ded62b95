/** What breaks telemetry does not break the work, and what senders write does not break telemetry. */
import * as client from "@messagedb/client";
import { gateway } from "@messagedb/client/gateway";
import { traced, tracedHandler } from "@messagedb/client/otel";
import { type Meter, trace, type Tracer } from "@opentelemetry/api";
import { type Sampler, type SpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { beforeEach, describe, expect, test } from "vitest";
import { useDatabase } from "../database.ts";
import { startSdk, treeOf, within } from "./_sdk.ts";

const db = useDatabase();
const sdk = startSdk();
const { tracer, meter } = sdk;
const message = { type: "Opened" };
const tracedSql = () => traced(db.sql, { tracer, meter });

beforeEach(() => sdk.reset());

const fail = (): never => {
  throw new Error("No");
};

function tracerWith(processor: Partial<SpanProcessor>, sampler?: Sampler): Tracer {
  const quiet = { onStart: () => {}, onEnd: () => {} };
  const ends = { forceFlush: () => Promise.resolve(), shutdown: () => Promise.resolve() };
  const spanProcessors = [{ ...quiet, ...ends, ...processor }];
  return new TracerProvider({ spanProcessors, ...(sampler && { sampler }) }).getTracer("test");
}

const failingMeter = new Proxy(meter, {
  get: (target, key) =>
    /^create(Counter|UpDownCounter|Histogram)$/.test(String(key))
      ? () => ({ add: fail, record: fail })
      : Reflect.get(target, key).bind(target),
}) as Meter;

describe("the work goes on", () => {
  test.each<[string, Tracer, Meter]>([
    ["where no span can start", tracerWith({ onStart: fail }), meter],
    ["where no span can end", tracerWith({ onEnd: fail }), meter],
    ["where the sampler fails", tracerWith({}, { shouldSample: fail }), meter],
    ["where the meter fails", tracer, failingMeter],
  ])("%s", async (name, tracer, meter) => {
    const category = name.replaceAll(/\W/g, "");
    const sql = traced(db.sql, { tracer, meter });
    const write = client.groupCommit(sql);
    expect(await client.write(sql, `${category}-1`, message)).toBe(0);
    expect(await client.writeBatch(sql, `${category}-1`, [message, message])).toBe(2);
    expect(await Promise.all([1, 2].map(() => write(`${category}-1`, message)))).toEqual([3, 4]);
    expect(await sql.begin((sql) => client.write(sql, `${category}-1`, message))).toBe(5);
    await expect(client.write(sql, `${category}-1`, message, { expectedVersion: 77 }))
      .rejects.toThrow(client.WrongExpectedVersionError);
    await expect(sql.begin(fail)).rejects.toThrow("No");
    const attempts: number[] = [];
    await client.drain(sql, {
      category,
      consumerId: "it",
      onError: { retry: 1, delay: 1 },
      handle: (_, { attempt }) => {
        attempts.push(attempt);
        if (attempts.length === 1) fail();
      },
    });
    expect(attempts).toEqual([1, 2, 1, 1, 1, 1, 1]);
    const handle = tracedHandler(gateway(sql, { authorize: () => true }), { tracer });
    const response = await handle(new Request(`http://gateway/streams/${category}-1/messages`));
    expect(response.status).toBe(200);
    expect(await client.streamVersion(db.sql, `${category}-1`)).toBe(5);
  });

  test("where a handler ends the span that it runs in", async () => {
    await client.write(db.sql, "ended-1", message);
    let attempts = 0;
    await client.drain(tracedSql(), {
      category: "ended",
      consumerId: "it",
      onError: { retry: 1, delay: 1 },
      handle: async (_, { sql }) => {
        trace.getActiveSpan()!.end();
        await client.write(sql, "later-1", message);
        if (++attempts === 1) fail();
      },
    });
    expect(attempts).toBe(2);
    expect(treeOf(sdk.spans()).filter((it) => /process|send/.test(it) && !/SELECT/.test(it)))
      .toEqual([
        "CONSUMER process ended",
        "CONSUMER process ended > PRODUCER send later",
        "CONSUMER process ended",
        "CONSUMER process ended > PRODUCER send later",
      ]);
    expect(sdk.open()).toBe(0);
  });
});

const valid = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
const hostile: Record<string, Record<string, unknown>> = {
  "of a number": { traceparent: 7 },
  "of null": { traceparent: null, tracestate: null },
  "that is empty": { traceparent: "" },
  "of zeros": { traceparent: `00-${"0".repeat(32)}-${"0".repeat(16)}-01` },
  "of an unknown version": { traceparent: valid.replace(/^00/, "ff") },
  "in capitals": { traceparent: valid.toUpperCase() },
  "with a line after it": { traceparent: `${valid}\nx: y` },
  "of a million characters": { traceparent: "00-".repeat(333_333) },
  "that is deeper in the metadata": JSON.parse(
    `{"__proto__":{"traceparent":"${valid}"},"a\\"traceparent\\"":1}`,
  ),
};

describe("a trace", () => {
  test.each(Object.entries(hostile))(
    "%s is no trace, and stays where a sender gives it",
    async (name, given) => {
      const category = name.replaceAll(/\W/g, "");
      const metadata = given as client.Metadata;
      await client.write(db.sql, `${category}-1`, { ...message, metadata });
      const sql = traced(db.sql, { tracer, meter, parent: "sender" });
      await client.drain(sql, {
        category,
        consumerId: "it",
        handle: async (it, { sql }) => {
          // As a handler does that copies the metadata.
          await client.write(sql, `${category}Copy-1`, { ...message, metadata: it.metadata });
          await client.writeBatch(sql, `${category}Copy-1`, [{
            ...message,
            metadata: it.metadata,
          }]);
        },
      });
      const [processed] = sdk.spans().filter((span) => span.name === `process ${category}`);
      expect(processed!.links).toEqual([]);
      expect(processed!.parentSpanContext).toBeUndefined();
      await client.write(sql, `${category}Own-1`, { ...message, metadata });
      const [own] = await client.readStream(db.sql, `${category}Own-1`);
      expect(own!.metadata).toMatchObject(metadata);
      const copies = await client.readStream(db.sql, `${category}Copy-1`);
      const written = sdk.spans().filter((span) => span.name === `send ${category}Copy`);
      expect(copies.map((it) => it.metadata!.traceparent)).toEqual(
        written.map((span) => {
          const { traceId, spanId } = span.spanContext();
          return `00-${traceId}-${spanId}-01`;
        }),
      );
      for (const { metadata } of copies) {
        const { traceparent: _, ...others } = metadata!;
        const { traceparent: __, tracestate: ___, ...given } = hostile[name]!;
        expect(JSON.stringify(others)).toBe(JSON.stringify(given));
      }
    },
  );

  test("state over the limits goes no further", async () => {
    const states = [
      "x=1".repeat(300),
      "a b c",
      "=,=,=",
      Array.from({ length: 40 }, (_, at) => `k${at}=1`).join(),
    ];
    for (const tracestate of states) {
      await client.write(db.sql, "state-1", {
        ...message,
        metadata: { traceparent: valid, tracestate },
      });
    }
    await client.drain(traced(db.sql, { tracer, meter, parent: "sender" }), {
      category: "state",
      consumerId: "it",
      handle: async (_, { sql }) => void await client.write(sql, "stateCopy-1", message),
    });
    const copies = await client.readStream(db.sql, "stateCopy-1");
    const passed = copies.map(({ metadata }) => metadata!.tracestate?.split(",").length);
    expect(passed).toEqual([undefined, undefined, undefined, 32]);
    expect(copies.map(({ metadata }) => metadata!.traceparent!.slice(0, 36)))
      .toEqual(Array(4).fill(valid.slice(0, 36)));
  });

  test.each([["ff-x", "x=1"], [valid.toUpperCase(), ""], ["00", "k".repeat(600)]])(
    "in a request is none: %s",
    async (traceparent, tracestate) => {
      const handle = tracedHandler(gateway(tracedSql(), { authorize: () => true }), { tracer });
      const headers = { traceparent, tracestate };
      const response = await handle(
        new Request("http://gateway/streams/none-1/messages", { headers }),
      );
      expect(response.status).toBe(200);
      const [served] = sdk.spans();
      expect(served!.parentSpanContext).toBeUndefined();
    },
  );
});

test("each attempt of decide() has spans and a trace of its own", async () => {
  const counter = client.entity({
    category: "tally",
    init: () => 0,
    evolve: (state: number) => state + 1,
  });
  let attempts = 0;
  await within(tracer, () =>
    counter.decide(tracedSql(), "1", async () => {
      if (++attempts < 3) await client.write(db.sql, "tally-1", message);
      return message;
    }));
  expect(attempts).toBe(3);
  const sent = sdk.spans().filter(({ name }) => name === "send tally");
  expect(sent.map(({ attributes }) => attributes["error.type"]))
    .toEqual(["WrongExpectedVersionError", "WrongExpectedVersionError", undefined]);
  expect(new Set(sent.map(({ parentSpanContext }) => parentSpanContext?.spanId)).size).toBe(1);
  const last = await client.readLastMessage(db.sql, "tally-1");
  expect(last!.metadata!.traceparent).toContain(sent.at(-1)!.spanContext().spanId);
  expect(sdk.open()).toBe(0);
});

test("100,000 streams are one series of each metric", async () => {
  const counted = startSdk();
  const sql = traced(db.sql, { tracer: counted.tracer, meter: counted.meter });
  for (let batch = 0; batch < 100; batch++) {
    await client.writeStreams(
      sql,
      Array.from({ length: 1000 }, (_, at) => ({
        streamName: `many-${batch * 1000 + at}`,
        messages: [message],
      })),
    );
    await client.write(sql, `many-${batch}`, message);
    counted.reset();
  }
  const series = (await counted.metrics()).map(({ descriptor, dataPoints }) => [
    descriptor.name,
    dataPoints.length,
  ]);
  expect(Object.fromEntries(series)).toEqual({
    "messaging.client.sent.messages": 1,
    "messaging.client.operation.duration": 1,
    // SELECT write_message, and INSERT messages.
    "db.client.operation.duration": 2,
  });
});
