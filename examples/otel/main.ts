/**
 * One trace through a whole system: a page of a shop writes an order by the gateway, a consumer handles the order and
 * writes a shipment, and a live page shows the shipment. All four would be programs of their own, on other machines:
 * what carries the trace is the header of the request, and then the metadata of the messages.
 *
 *     npm pkg set type=module
 *     npm install @messagedb/client postgres @hono/node-server @opentelemetry/api \
 *       @opentelemetry/sdk-trace @opentelemetry/context-async-hooks @opentelemetry/exporter-trace-otlp-http
 *     DATABASE_URL=postgres://… OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 npx tsx main.ts
 */
import { serve } from "@hono/node-server";
import { consume, type Message, write } from "@messagedb/client";
import { fetchSql } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import { traced, tracedFetch, tracedHandler } from "@messagedb/client/otel";
import { context, type SpanContext, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import process from "node:process";
import postgres from "postgres";

// The SDK comes first. Its exporter reads OTEL_EXPORTER_OTLP_ENDPOINT.
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const provider = new TracerProvider({
  spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter() })],
});
trace.setGlobalTracerProvider(provider);
const tracer = trace.getTracer("shop");

const driver = postgres(process.env["DATABASE_URL"]!, { fetch_types: false });
const sql = traced(driver, { parent: "sender" });
const stopping = new AbortController();

// The gateway: it hears the traceparent of its requests.
const handle = gateway(sql, { authorize: () => true, signal: stopping.signal });
const server = serve({ fetch: tracedHandler(handle), port: 0 });
await once(server, "listening");
const address = `http://localhost:${(server.address() as AddressInfo).port}`;

// The consumer: its handler runs in the trace of the order.
const consuming = consume(sql, {
  category: "order",
  consumerId: "shipping",
  handlers: {
    Placed: async ({ streamName }, { sql }) => {
      const shipment = { type: "Requested", data: { order: streamName } };
      await write(sql, streamName.replace("order", "shipment"), shipment);
    },
  },
}, { signal: stopping.signal });

// The live page: each message says in its metadata which trace it belongs to.
const shown = showShipments();

// The shop's page: it has fetch, and no database.
await tracer.startActiveSpan("checkout", async (span) => {
  const shop = traced(fetchSql(`${address}/sql`, { fetch: tracedFetch() }));
  await write(shop, `order-${crypto.randomUUID()}`, { type: "Placed", data: { item: "tea" } });
  span.end();
});

await shown;
stopping.abort();
await consuming;
server.close();
await driver.end();
await provider.shutdown();

/** Shows the first shipment. */
async function showShipments(): Promise<void> {
  const { body } = await fetch(`${address}/categories/shipment/messages`, {
    headers: { accept: "text/event-stream" },
    signal: stopping.signal,
  });
  let text = "";
  for await (const part of body!.pipeThrough(new TextDecoderStream())) {
    text += part;
    const message = /^data: (\{.*\})$/m.exec(text)?.[1];
    if (message === undefined) continue;
    const { metadata, streamName } = JSON.parse(message) as Message;
    const sender = trace.setSpanContext(context.active(), spanContextOf(metadata!.traceparent!));
    tracer.startSpan("show shipment", {}, sender).end();
    console.log(`Shown: ${streamName}`);
    return;
  }
}

function spanContextOf(traceparent: string): SpanContext {
  const [, traceId, spanId, flags] = traceparent.split("-");
  return { traceId: traceId!, spanId: spanId!, traceFlags: Number(`0x${flags}`), isRemote: true };
}
