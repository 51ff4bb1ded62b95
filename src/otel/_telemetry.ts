import {
  type Attributes,
  createNoopMeter,
  INVALID_SPAN_CONTEXT,
  type Meter,
  metrics,
  ProxyTracerProvider,
  type Span,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import { VERSION } from "../http/gateway/_version.ts";
import { ATTRIBUTE, CONVENTIONS, type OperationType, SYSTEM } from "./_conventions.ts";
import type { Instruments } from "./_instruments.ts";
import { unfailing } from "./_unfailing.ts";

const NAME = "@messagedb/client";
const SCOPE = { schemaUrl: `https://opentelemetry.io/schemas/${CONVENTIONS}` };

/** What spans and metrics are made with. */
export interface Telemetry {
  readonly tracer: SpanStarter;
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
  /** The spans of the writes of a group that a statement carries now, by the ids of their messages. */
  readonly carried: Map<string, Span>;
}

/** What is the same of all operations of one kind with one category. */
export interface KnownOperation {
  /** The name of the span. */
  readonly name: string;
  /** The category, if it is one. */
  readonly template: string | undefined;
  /** What spans and durations have: nothing that differs from stream to stream. */
  readonly attributes: Attributes;
  /** What counts of messages and durations of handlers have: by the conventions, not the type of the operation. */
  readonly counted: Attributes;
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
    const counted = {
      ...attributes,
      [ATTRIBUTE.messagingSystem]: SYSTEM,
      [ATTRIBUTE.operationName]: type,
      ...(template !== undefined && { [ATTRIBUTE.template]: template }),
    };
    known = {
      name,
      template,
      counted,
      attributes: { ...counted, [ATTRIBUTE.operationType]: type },
    };
    operations.set(name, known);
  }
  return known;
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

/** What makes spans. */
export type SpanStarter = Pick<Tracer, "startSpan">;

export function tracerOf(tracer: Tracer | undefined): SpanStarter {
  const given = tracer ?? trace.getTracer(NAME, VERSION);
  const noSpan = trace.wrapSpanContext(INVALID_SPAN_CONTEXT);
  return { startSpan: unfailing((...span) => given.startSpan(...span), noSpan) };
}

export function meterOf(meter: Meter | undefined): Meter {
  return meter ?? metrics.getMeter(NAME, VERSION, SCOPE);
}

/** How long ago that was, in seconds. */
export function secondsSince(startedAt: number): number {
  return (performance.now() - startedAt) / 1000;
}
