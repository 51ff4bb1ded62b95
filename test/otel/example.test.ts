import { execFile } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { pathOf } from "../_blocks.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

/** A span, as OTLP has it in JSON. */
interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
}

interface OtlpRequest {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

/** Starts a collector that takes spans by OTLP over HTTP. */
async function startCollector(): Promise<{ readonly url: string; readonly spans: OtlpSpan[] }> {
  const spans: OtlpSpan[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    if (request.url === "/v1/traces") {
      const { resourceSpans } = JSON.parse(body) as OtlpRequest;
      spans.push(...resourceSpans.flatMap((it) => it.scopeSpans.flatMap(({ spans }) => spans)));
    }
    response.setHeader("content-type", "application/json").end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, spans };
}

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
