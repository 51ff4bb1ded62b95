/** The metrics: what they count, and that the dashboard and the alert rules ask for what there is. */
import * as client from "@messagedb/client";
import type { ConsumerHealth } from "@messagedb/client/operate";
import { observeStore, traced } from "@messagedb/client/otel";
import { PrometheusExporter, PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { MeterProvider } from "@opentelemetry/sdk-metrics";
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import type { OperationType } from "../../src/otel/_conventions.ts";
import { pathOf } from "../_path_of.ts";
import { eventually } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { startSdk } from "./_sdk.ts";

const db = useDatabase();
const message = { type: "Opened" };

/** The values of a metric, by the values of its attributes. */
async function valuesOf(
  sdk: ReturnType<typeof startSdk>,
  name: string,
  ...attributes: string[]
): Promise<Record<string, unknown>> {
  const metric = (await sdk.metrics()).find(({ descriptor }) => descriptor.name === name);
  return Object.fromEntries(
    (metric?.dataPoints ?? []).map(({ attributes: its, value }) => [
      attributes.map((it) => its[it] ?? "-").join(" "),
      typeof value === "object" ? value.count : value,
    ]),
  );
}

const CATEGORY = "messaging.destination.template";

test("messages are counted by category, and durations by operation", async () => {
  const sdk = startSdk();
  const sql = traced(db.sql, { tracer: sdk.tracer, meter: sdk.meter });
  await client.write(sql, "a-1", message);
  await client.writeStreams(sql, [
    { streamName: "a-1", messages: [message, message] },
    { streamName: "b-1", messages: [message] },
  ]);
  await client.write(sql, "a-1", message, { expectedVersion: 77 }).catch(() => {});
  expect(await valuesOf(sdk, "messaging.client.sent.messages", CATEGORY, "error.type")).toEqual({
    "a -": 3,
    "b -": 1,
    "a WrongExpectedVersionError": 1,
  });
  await client.drain(sql, { category: "a", consumerId: "it", handle: () => {} });
  expect(await valuesOf(sdk, "messaging.client.consumed.messages", CATEGORY)).toEqual({ a: 3 });
  expect(await valuesOf(sdk, "messaging.process.duration", CATEGORY)).toEqual({ a: 3 });
  expect(
    await valuesOf(sdk, "messaging.client.operation.duration", "messaging.operation.name"),
  ).toMatchObject({ send: 1, receive: 1, settle: 2 });
  expect(await valuesOf(sdk, "db.client.operation.duration", "db.query.summary"))
    .toMatchObject({ "INSERT messages": 1 });
});

test("a group commit counts how many writes share a statement, and how many wait", async () => {
  const sdk = startSdk();
  const write = client.groupCommit(traced(db.sql, { tracer: sdk.tracer, meter: sdk.meter }));
  const writing: Promise<number>[] = [];
  await db.sql.begin(async (sql) => {
    await client.write(sql, "group-1", message);
    // The first waits for the lock, and the others for the first.
    writing.push(write("group-1", message));
    await eventually(async () => {
      expect(await valuesOf(sdk, "messagedb.group_commit.batch.size")).toEqual({ "": 1 });
    });
    for (const id of [1, 2, 3]) writing.push(write(`group-${id}`, message));
    expect(await valuesOf(sdk, "messagedb.group_commit.queue.size")).toEqual({ "": 3 });
  });
  await Promise.all(writing);
  expect(await valuesOf(sdk, "messagedb.group_commit.queue.size")).toEqual({ "": 0 });
  const sizes = (await sdk.metrics()).find(({ descriptor }) =>
    descriptor.name === "messagedb.group_commit.batch.size"
  )!.dataPoints.map(({ value }) => value as { sum: number; count: number });
  expect(sizes).toMatchObject([{ sum: 4, count: 2 }]);
});

describe("observeStore()", () => {
  test("asks once for each export, and tells how far consumers are behind", async () => {
    const sdk = startSdk();
    const consumer = { category: "late", consumerId: "it" };
    await client.write(db.sql, "late-1", message);
    await client.drain(db.sql, { ...consumer, handle: () => "park" as const });
    await client.writeBatch(db.sql, "late-1", [message, message]);
    let asked = 0;
    const counting: client.Sql = (...statement) => {
      asked++;
      return db.sql(...statement as [TemplateStringsArray]);
    };
    const observation = observeStore(counting, { meter: sdk.meter, category: "late" });
    const group = "messaging.consumer.group.name";
    expect(await valuesOf(sdk, "messagedb.consumer.lag.messages", CATEGORY, group))
      .toEqual({ "late it": 2 });
    expect(asked).toBe(1);
    const metrics = await sdk.metrics();
    expect(asked).toBe(2);
    const values = Object.fromEntries(
      metrics.map(({ descriptor, dataPoints }) => [descriptor.name, dataPoints]),
    );
    expect(values["messagedb.consumer.parked"]![0]!.value).toBe(1);
    expect(values["messagedb.consumer.lag.time"]![0]!.value).toBeGreaterThan(0);
    expect(values["messagedb.consumer.state"]![0]!.attributes["messagedb.consumer.health"])
      .toBe("busy");
    observation.stop();
    await sdk.metrics();
    expect(asked).toBe(2);
  });

  test("leaves the metrics out where the store does not answer, and goes on", async () => {
    const sdk = startSdk();
    let fails = true;
    const failing: client.Sql = (...statement) =>
      fails ? Promise.reject(new Error("No")) : db.sql(...statement as [TemplateStringsArray]);
    observeStore(failing, { meter: sdk.meter, category: "late" });
    expect(await valuesOf(sdk, "messagedb.consumer.lag.messages", CATEGORY)).toEqual({});
    fails = false;
    expect(await valuesOf(sdk, "messagedb.consumer.lag.messages", CATEGORY)).toEqual({ late: 2 });
  });
});

/**
 * The names of the metrics as Prometheus gets them by OTLP or from a collector, with the names of their labels. The
 * exporter for Node leaves the unit out, which the others put behind a name.
 */
async function renderedMetrics(): Promise<Map<string, Set<string>>> {
  const sdk = startSdk();
  const reader = new PrometheusExporter({ preventServerStart: true });
  const meter = new MeterProvider({ readers: [reader] }).getMeter("test");
  const sql = traced(db.sql, { tracer: sdk.tracer, meter });
  observeStore(db.sql, { meter });
  const write = client.groupCommit(sql);
  await Promise.all(["shown-1", "shown-2"].map((name) => write(name, message)));
  await client.write(sql, "shown-1", message, { expectedVersion: 77 }).catch(() => {});
  await client.drain(sql, {
    category: "shown",
    consumerId: "it",
    onError: { retry: 1, delay: 1, then: "park" },
    handle: () => Promise.reject(new Error("No")),
  });
  await client.drain(sql, {
    category: "shown",
    consumerId: "group",
    consumerGroup: { size: 1 },
    handle: () => {},
  });
  const { resourceMetrics } = await reader.collect();
  const inSeconds = resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics)
    .filter(({ descriptor }) => descriptor.unit === "s")
    .map(({ descriptor }) => descriptor.name.replaceAll(".", "_"));
  const rendered = new Map<string, Set<string>>();
  for (const line of new PrometheusSerializer().serialize(resourceMetrics).split("\n")) {
    const [, name, labels = ""] = /^(\w+)(?:\{(.*)\})? /.exec(line) ?? [];
    if (name === undefined) continue;
    const base = inSeconds.find((it) => name.startsWith(it));
    const full = base === undefined ? name : name.replace(base, `${base}_seconds`);
    const known = rendered.get(full) ?? new Set();
    for (const [, label] of labels.matchAll(/(\w+)="/g)) known.add(label!);
    rendered.set(full, known);
  }
  return rendered;
}

/** The values that a query may select. */
const values: Readonly<Record<string, readonly string[]>> = {
  messagedb_consumer_health: ["idle", "busy", "stuck", "stopped"] satisfies ConsumerHealth[],
  messaging_operation_name: ["send", "receive", "settle"] satisfies OperationType[],
  error_type: ["", new client.WrongExpectedVersionError("a", 0, 1).name],
};

describe("the queries of", () => {
  const files: Record<string, (text: string) => string[]> = {
    "examples/otel/dashboard.json": (text) =>
      (JSON.parse(text) as { panels: { targets: { expr: string }[] }[] }).panels
        .flatMap(({ targets }) => targets.map(({ expr }) => expr)),
    "examples/otel/alerts.yaml": (text) =>
      [...text.matchAll(/^ +expr: (.+)$/gm)].map(([, expr]) => expr!),
  };

  test.each(Object.entries(files))(
    "%s ask for metrics and labels that there are",
    async (path, queriesIn) => {
      const rendered = await renderedMetrics();
      const queries = queriesIn(await readFile(pathOf(path), "utf8"));
      expect(queries.length).toBeGreaterThan(7);
      for (const query of queries) {
        const names = [...query.matchAll(/\b(?:messaging|messagedb|db)_\w+(?=[[{)])/g)]
          .map(([name]) => name)
          .filter((name) => !/^by \(/.test(name));
        const metrics = names.filter((name) => rendered.has(name));
        expect(metrics, query).not.toEqual([]);
        const by = [...query.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list]) => list!.split(/, */));
        const selected = [...query.matchAll(/(\w+)!?="/g)].map(([, label]) => label!);
        const used = [...by, ...selected];
        for (const [, label, value] of query.matchAll(/(\w+)!?="([^"]*)"/g)) {
          expect(values[label!], query).toContain(value);
        }
        expect(names.filter((name) => !rendered.has(name) && !used.includes(name)), query).toEqual(
          [],
        );
        for (const label of used) {
          expect(metrics.every((name) => rendered.get(name)!.has(label)), `${label} of ${query}`)
            .toBe(true);
        }
      }
    },
  );

  test("the dashboard ask for every metric that there is", async () => {
    const rendered = await renderedMetrics();
    const text = await readFile(pathOf("examples/otel/dashboard.json"), "utf8");
    const unseen = [...rendered.keys()].filter((name) =>
      /^(messaging|messagedb|db)_/.test(name) &&
      !text.includes(name.replace(/_(sum|count|bucket)$/, ""))
    );
    expect(unseen).toEqual([]);
  });
});
