/** Does single writes and reads of a page, in a process of its own: with a handle that is traced, or is not. */
import { readStream, type Sql, write } from "@messagedb/client";
import { traced } from "@messagedb/client/otel";
import { context, metrics, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import process from "node:process";
import postgres from "postgres";

/** What the process is to have, and where its store is. */
export interface OtelSetting {
  readonly url: string;
  readonly category: string;
  readonly way: "none" | "no SDK" | "SDK";
}

/** What the process is to do. */
export interface OtelJob {
  readonly work: "write" | "page";
  readonly calls: number;
}

const { url, category, way } = JSON.parse(process.argv[2]!) as OtelSetting;
if (way === "SDK") startSdk();
const plain = postgres(url, { max: 1, onnotice: () => {} });
const sql: Sql = way === "none" ? plain : traced(plain);
const message = { type: "Deposited", data: { amount: 11, currency: "EUR" } };
const works = {
  write: () => write(sql, `${category}-${way.replace(" ", "_")}`, message),
  page: () => readStream(sql, `${category}-page`, { batchSize: 1000 }),
};

process.on("message", async ({ work, calls }: OtelJob) => {
  for (let call = 0; call < calls; call++) await works[work]();
  process.send!("done");
});

/** The SDK, with what samples one trace of a hundred, and exports to nowhere. */
function startSdk(): void {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const exporter = {
    export: (_: unknown, done: (result: { code: number }) => void) => done({ code: 0 }),
    shutdown: () => Promise.resolve(),
  };
  trace.setGlobalTracerProvider(
    new TracerProvider({
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(0.01) }),
      spanProcessors: [new BatchSpanProcessor({ exporter })],
    }),
  );
  const reader = new PeriodicExportingMetricReader({
    exporter: new InMemoryMetricExporter(AggregationTemporality.DELTA),
  });
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
}
