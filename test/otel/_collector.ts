import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** A span, as OTLP has it in JSON. */
export interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
}

interface OtlpResource {
  readonly attributes: readonly {
    readonly key: string;
    readonly value: { readonly stringValue?: string };
  }[];
}

interface OtlpRequest {
  readonly resourceSpans?: readonly {
    readonly resource: OtlpResource;
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
  readonly resourceMetrics?: readonly {
    readonly resource: OtlpResource;
    readonly scopeMetrics: readonly { readonly metrics: readonly { readonly name: string }[] }[];
  }[];
}

/** What a collector has got. */
export interface Collector {
  readonly url: string;
  readonly spans: OtlpSpan[];
  /** The names of metrics. */
  readonly metrics: Set<string>;
  /** The names of services. */
  readonly services: Set<string>;
}

/** Starts a collector that takes spans and metrics by OTLP over HTTP, until the test ends. */
export async function startCollector(): Promise<Collector> {
  const spans: OtlpSpan[] = [];
  const metrics = new Set<string>();
  const services = new Set<string>();
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const { resourceSpans = [], resourceMetrics = [] } = JSON.parse(body) as OtlpRequest;
    spans.push(...resourceSpans.flatMap((it) => it.scopeSpans.flatMap(({ spans }) => spans)));
    for (const { scopeMetrics } of resourceMetrics) {
      for (const { name } of scopeMetrics.flatMap(({ metrics }) => metrics)) metrics.add(name);
    }
    for (const { resource } of [...resourceSpans, ...resourceMetrics]) {
      const name = resource.attributes.find(({ key }) => key === "service.name");
      if (name?.value.stringValue) services.add(name.value.stringValue);
    }
    response.setHeader("content-type", "application/json").end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, spans, metrics, services };
}
