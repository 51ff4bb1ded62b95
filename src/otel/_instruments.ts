import type { Attributes, Meter, MetricOptions } from "@opentelemetry/api";
import { DATABASE_BUCKETS, MESSAGING_BUCKETS, METRIC, OWN_METRIC } from "./_conventions.ts";
import { unfailing } from "./_unfailing.ts";

/** Records a value of a metric. */
export type Recorder = (value: number, attributes: Attributes) => void;

/** The metrics that work records. */
export interface Instruments {
  readonly sent: Recorder;
  readonly consumed: Recorder;
  readonly operationDuration: Recorder;
  readonly processDuration: Recorder;
  readonly statementDuration: Recorder;
  readonly retries: Recorder;
  readonly batchSize: Recorder;
  readonly queueSize: Recorder;
}

export function makeInstruments(meter: Meter): Instruments {
  const counter = (name: string, unit: string, description: string): Recorder => {
    const made = meter.createCounter(name, { unit, description });
    return unfailing((value, attributes) => made.add(value, attributes), undefined);
  };
  const histogram = (
    name: string,
    buckets: readonly number[],
    options: MetricOptions,
  ): Recorder => {
    const advice = { explicitBucketBoundaries: [...buckets] };
    const made = meter.createHistogram(name, { ...options, advice });
    return unfailing((value, attributes) => made.record(value, attributes), undefined);
  };
  const seconds = (name: string, description: string, buckets: readonly number[]): Recorder =>
    histogram(name, buckets, { unit: "s", description });
  const queue = meter.createUpDownCounter(OWN_METRIC.queueSize, {
    unit: "{message}",
    description: "Writes that wait for a statement.",
  });
  return {
    sent: counter(METRIC.sent, "{message}", "Messages that were sent to the store."),
    consumed: counter(
      METRIC.consumed,
      "{message}",
      "Messages that consumers and subscriptions have read.",
    ),
    operationDuration: seconds(
      METRIC.operationDuration,
      "How long it took to send, receive or settle messages.",
      MESSAGING_BUCKETS,
    ),
    processDuration: seconds(METRIC.processDuration, "How long handlers took.", MESSAGING_BUCKETS),
    statementDuration: seconds(
      METRIC.statementDuration,
      "How long statements took.",
      DATABASE_BUCKETS,
    ),
    retries: counter(
      OWN_METRIC.retries,
      "{attempt}",
      "Attempts after which a message is tried again.",
    ),
    batchSize: histogram(OWN_METRIC.batchSize, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512], {
      unit: "{message}",
      description: "How many writes shared a statement.",
    }),
    queueSize: unfailing((value, attributes) => queue.add(value, attributes), undefined),
  };
}
