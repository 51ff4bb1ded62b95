import {
  type Attributes,
  type Counter,
  type Histogram,
  type Meter,
  metrics,
  trace,
  type Tracer,
  type UpDownCounter,
} from "@opentelemetry/api";
import { VERSION } from "../http/gateway/_version.ts";
import {
  CONVENTIONS,
  DATABASE_BUCKETS,
  MESSAGING_BUCKETS,
  METRIC,
  OWN_METRIC,
} from "./_conventions.ts";

const NAME = "@messagedb/client";
const SCOPE = { schemaUrl: `https://opentelemetry.io/schemas/${CONVENTIONS}` };

/** What spans and metrics are made with. */
export interface Telemetry {
  readonly tracer: Tracer;
  readonly instruments: Instruments;
  /** Whether handlers run in the trace of those who have sent the messages. */
  readonly isChild: boolean;
  /** What all spans and metrics have. */
  readonly attributes: Attributes;
  /** What those of statements have besides. */
  readonly ofStatements: Attributes;
}

/** The metrics that work records. */
export interface Instruments {
  readonly sent: Counter;
  readonly consumed: Counter;
  readonly operationDuration: Histogram;
  readonly processDuration: Histogram;
  readonly statementDuration: Histogram;
  readonly retries: Counter;
  readonly batchSize: Histogram;
  readonly queueSize: UpDownCounter;
}

export function tracerOf(tracer: Tracer | undefined): Tracer {
  return tracer ?? trace.getTracer(NAME, VERSION);
}

export function meterOf(meter: Meter | undefined): Meter {
  return meter ?? metrics.getMeter(NAME, VERSION, SCOPE);
}

export function makeInstruments(meter: Meter): Instruments {
  const seconds = (name: string, description: string, buckets: readonly number[]) =>
    meter.createHistogram(name, {
      unit: "s",
      description,
      advice: { explicitBucketBoundaries: [...buckets] },
    });
  return {
    sent: meter.createCounter(METRIC.sent, {
      unit: "{message}",
      description: "Messages that were sent to the store.",
    }),
    consumed: meter.createCounter(METRIC.consumed, {
      unit: "{message}",
      description: "Messages that consumers and subscriptions have read.",
    }),
    operationDuration: seconds(
      METRIC.operationDuration,
      "How long it took to send, receive or settle messages.",
      MESSAGING_BUCKETS,
    ),
    processDuration: seconds(
      METRIC.processDuration,
      "How long handlers took.",
      MESSAGING_BUCKETS,
    ),
    statementDuration: seconds(
      METRIC.statementDuration,
      "How long statements took.",
      DATABASE_BUCKETS,
    ),
    retries: meter.createCounter(OWN_METRIC.retries, {
      unit: "{attempt}",
      description: "Attempts after which a message is tried again.",
    }),
    batchSize: meter.createHistogram(OWN_METRIC.batchSize, {
      unit: "{message}",
      description: "How many writes shared a statement.",
      advice: { explicitBucketBoundaries: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512] },
    }),
    queueSize: meter.createUpDownCounter(OWN_METRIC.queueSize, {
      unit: "{message}",
      description: "Writes that wait for a statement.",
    }),
  };
}

/** How long ago that was, in seconds. */
export function secondsSince(startedAt: number): number {
  return (performance.now() - startedAt) / 1000;
}
