/** Metrics, and spans, of a program that has no context manager: that measures only, or is a page. */
import * as client from "@messagedb/client";
import { traced } from "@messagedb/client/otel";
import { context } from "@opentelemetry/api";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import {
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { expect, test } from "vitest";
import { useDatabase } from "../database.ts";
import { treeOf } from "./_sdk.ts";

const db = useDatabase();
const message = { type: "Opened" };

test("a group commit counts each write once, and links it to its statement", async () => {
  expect(context.with(context.active().setValue(Symbol.for("it"), 1), () => context.active()))
    .toBe(context.active());
  const exporter = new InMemorySpanExporter();
  const metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({
    exporter: metricExporter,
    exportIntervalMillis: 2 ** 30,
  });
  const sql = traced(db.sql, {
    tracer: new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] })
      .getTracer("test"),
    meter: new MeterProvider({ readers: [reader] }).getMeter("test"),
  });
  const write = client.groupCommit(sql);
  // The statements are learned by the first.
  for (const group of [1, 2]) {
    await Promise.all([1, 2, 3].map((id) => write(`group-${group}${id}`, message)));
  }
  const known = { ...message, id: crypto.randomUUID() };
  await write("group-1", known);
  // A write of its own, though a statement of the group has carried the same id.
  await client.write(sql, "group-1", known);
  await client.writeBatch(sql, "batch-1", [message, message]);
  await reader.forceFlush();
  const sent = metricExporter.getMetrics().at(-1)!.scopeMetrics
    .flatMap(({ metrics }) => metrics)
    .find(({ descriptor }) => descriptor.name === "messaging.client.sent.messages")!;
  expect(sent.dataPoints.map(({ attributes, value }) => [
    attributes["messaging.destination.template"],
    value,
  ])).toEqual([["group", 8], ["batch", 2]]);
  const spans = exporter.getFinishedSpans();
  expect(treeOf(spans).sort()).toEqual([
    "CLIENT INSERT messages",
    "CLIENT INSERT messages",
    "PRODUCER send batch",
    "PRODUCER send batch > CLIENT INSERT messages",
    ...Array(8).fill("PRODUCER send group"),
    "PRODUCER send group > CLIENT SELECT write_message",
    "PRODUCER send group > CLIENT SELECT write_message",
  ]);
  expect(spans.filter(({ name }) => name === "send group").map(({ links }) => links.length))
    .toEqual([1, 1, 1, 1, 1, 1, 0, 0]);
});
