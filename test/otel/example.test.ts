import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { pathOf } from "../_path_of.ts";
import { useDatabase } from "../database.ts";
import { type OtlpSpan, startCollector } from "./_collector.ts";

const db = useDatabase();

test("examples/otel/main.ts exports one trace, from the shop's page to the live page", async () => {
  const { url, spans } = await startCollector();
  const { stdout } = await promisify(execFile)(pathOf("node_modules/.bin/tsx"), ["otel/main.ts"], {
    cwd: pathOf("examples"),
    env: { ...process.env, DATABASE_URL: db.url, OTEL_EXPORTER_OTLP_ENDPOINT: url },
  });
  expect(stdout).toMatch(/^Shown: shipment-/);
  const checkout = spans.find(({ name }) => name === "checkout")!;
  const inTrace = spans.filter(({ traceId }) => traceId === checkout.traceId);
  const byId = new Map(inTrace.map((span) => [span.spanId, span]));
  const pathTo = (span: OtlpSpan): string[] => {
    const parent = byId.get(span.parentSpanId ?? "");
    return [...parent ? pathTo(parent) : [], span.name];
  };
  expect(pathTo(inTrace.find(({ name }) => name === "show shipment")!)).toEqual([
    "checkout",
    "send order",
    "process order",
    "send shipment",
    "show shipment",
  ]);
  expect(
    pathTo(
      inTrace.filter(({ name }) => name === "SELECT write_message").find((span) =>
        pathTo(span).includes("POST /sql")
      )!,
    ),
  ).toEqual([
    "checkout",
    "send order",
    "SELECT write_message",
    "POST /sql",
    "send order",
    "SELECT write_message",
  ]);
});
