import {
  type Attributes,
  type Counter,
  createNoopMeter,
  type Histogram,
  type Meter,
  metrics,
  ProxyTracerProvider,
  trace,
  type Tracer,
  type UpDownCounter,
} from "@opentelemetry/api";
import { VERSION } from "../http/gateway/_version.ts";
import {
  ATTRIBUTE,
  CONVENTIONS,
  DATABASE_BUCKETS,
  MESSAGING_BUCKETS,
  METRIC,
  type OperationType,
  OWN_METRIC,
  SYSTEM,
} from "./_conventions.ts";

const NAME = "@messagedb/client";
const SCOPE = { schemaUrl: `https://opentelemetry.io/schemas/${CONVENTIONS}` };

/** What spans and metrics are made with. */
export interface Telemetry {
  readonly tracer: Tracer;
  /** Whether nothing would come of a span or a metric, because no SDK is registered. */
  readonly isOff: () => boolean;
  readonly instruments: Instruments;
  /** Whether handlers run in the trace of those who have sent the messages. */
  readonly isChild: boolean;
  /** What all spans and metrics have. */
  readonly attributes: Attributes;
  /** What those of statements have besides. */
  readonly ofStatements: Attributes;
  /** The operations that are known, by name: their attributes are the same each time. */
  readonly operations: Map<string, KnownOperation>;
  /** The attributes of statements, by what is known of each. */
  readonly statements: WeakMap<object, Attributes>;
}

/** What is the same of all operations of one kind with one category. */
export interface KnownOperation {
  /** The name of the span. */
  readonly name: string;
  /** The category, if it is one. */
  readonly template: string | undefined;
  /** What spans and metrics have: nothing that differs from stream to stream. */
  readonly attributes: Attributes;
}

/** So many operations are known at most: a program may write to ever new categories. */
const MOST_OPERATIONS = 1000;

export function operationOf(
  { attributes, operations }: Telemetry,
  type: OperationType,
  template: string | undefined,
): KnownOperation {
  const name = template === undefined ? type : `${type} ${template}`;
  let known = operations.get(name);
  if (known === undefined) {
    if (operations.size >= MOST_OPERATIONS) operations.clear();
    known = {
      name,
      template,
      attributes: {
        ...attributes,
        [ATTRIBUTE.messagingSystem]: SYSTEM,
        [ATTRIBUTE.operationName]: type,
        [ATTRIBUTE.operationType]: type,
        ...(template !== undefined && { [ATTRIBUTE.template]: template }),
      },
    };
    operations.set(name, known);
  }
  return known;
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

/** Makes a function that tells whether no SDK is registered. Once one is, nothing is asked any more. */
export function offSwitch(tracer: Tracer | undefined, meter: Meter): () => boolean {
  let isOff = tracer === undefined && meter === createNoopMeter();
  return () => {
    if (!isOff) return false;
    const provider = trace.getTracerProvider();
    isOff = provider instanceof ProxyTracerProvider &&
      provider.getDelegateTracer(NAME, VERSION) === undefined;
    return isOff;
  };
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
