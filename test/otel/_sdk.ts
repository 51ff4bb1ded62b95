import { context, type Meter, trace, type Tracer } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import {
  InMemorySpanExporter,
  type ReadableSpan,
  type Sampler,
  SimpleSpanProcessor,
  type SpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";

/** An SDK that keeps what it exports. */
export interface Sdk {
  readonly tracer: Tracer;
  readonly meter: Meter;
  /** The spans that have ended, in the order in which they began. */
  spans(): ReadableSpan[];
  /** How many spans have begun and not ended. */
  open(): number;
  reset(): void;
  /** Collects the metrics. */
  metrics(): Promise<MetricData[]>;
}

let isRegistered = false;

/** Starts an SDK, with the context manager that an SDK on Node has. */
export function startSdk(sampler?: Sampler): Sdk {
  if (!isRegistered) {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    isRegistered = true;
  }
  const exporter = new InMemorySpanExporter();
  let open = 0;
  /** When each span began, by its id, counted. */
  const order = new Map<string, number>();
  const counting: SpanProcessor = {
    onStart: (span) => {
      open++;
      order.set(span.spanContext().spanId, order.size);
    },
    onEnd: () => void open--,
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  };
  const provider = new TracerProvider({
    spanProcessors: [counting, new SimpleSpanProcessor({ exporter })],
    ...(sampler && { sampler }),
  });
  const metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({
    exporter: metricExporter,
    exportIntervalMillis: 2 ** 30,
  });
  const meters = new MeterProvider({ readers: [reader] });
  return {
    tracer: provider.getTracer("test"),
    meter: meters.getMeter("test"),
    spans: () =>
      exporter.getFinishedSpans().toSorted((a, b) =>
        order.get(a.spanContext().spanId)! - order.get(b.spanContext().spanId)!
      ),
    open: () => open,
    reset: () => exporter.reset(),
    metrics: async () => {
      metricExporter.reset();
      await reader.forceFlush();
      return metricExporter.getMetrics().at(-1)?.scopeMetrics.flatMap(({ metrics }) => metrics) ??
        [];
    },
  };
}

/** Does work within a span, and answers its context. */
export async function within<T>(
  tracer: Tracer,
  work: () => Promise<T>,
): Promise<{ readonly traceId: string; readonly spanId: string; readonly answer: T }> {
  const span = tracer.startSpan("work");
  try {
    const answer = await context.with(trace.setSpan(context.active(), span), work);
    return { ...span.spanContext(), answer };
  } finally {
    span.end();
  }
}

const KINDS = ["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"] as const;

/** The tree of the spans: each span's kind and name behind those of its parents. */
export function treeOf(spans: readonly ReadableSpan[]): string[] {
  const byId = new Map(spans.map((span) => [span.spanContext().spanId, span]));
  const pathOf = (span: ReadableSpan): string => {
    const parent = byId.get(span.parentSpanContext?.spanId ?? "");
    const own = `${KINDS[span.kind]} ${span.name}`;
    return parent === undefined ? own : `${pathOf(parent)} > ${own}`;
  };
  return spans.map(pathOf);
}
