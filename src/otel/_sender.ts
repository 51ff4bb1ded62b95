import {
  type Attributes,
  type Context,
  context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  trace,
} from "@opentelemetry/api";
import { translateDriverError } from "../handle/_driver_error.ts";
import { type OwnHandle, takeRows } from "../handle/_statement.ts";
import type { LearnedStatement } from "../http/gateway/sql/_statements.ts";
import type { Rows, Sql } from "../types.ts";
import { type FoundErrors, foundIn } from "./_answered.ts";
import { ATTRIBUTE } from "./_conventions.ts";
import { type Described, describeStatement } from "./_described.ts";
import { errorTypeOf, failSpan, withFailure } from "./_error_type.ts";
import {
  measure,
  type Sending,
  sendMeasured,
  sendStatement,
  statementFailure,
  watch,
} from "./_statement_span.ts";
import { type KnownOperation, operationOf, secondsSince, type Telemetry } from "./_telemetry.ts";
import { endSpan } from "./_unfailing.ts";
import {
  carrierOf,
  columnsWithTrace,
  ownTraceIn,
  type SentParameters,
  spanContextIn,
  withTrace,
} from "./_trace_context.ts";
import { columnsBeforeData, writtenBy, type WrittenParts } from "./_written.ts";

/** Makes the function that sends statements, with their spans. */
export function sender(
  telemetry: Telemetry,
  inner: OwnHandle | undefined,
): NonNullable<OwnHandle["send"]> {
  const translate = inner?.translate ?? translateDriverError;
  // A statement goes to the handle that it was sent with: that may be of a transaction.
  const pass: NonNullable<OwnHandle["send"]> = (sql, ...statement) =>
    inner?.send?.(sql, ...statement) ?? sql(...statement);
  const sendDescribed = (
    described: Described,
    sql: Sql,
    strings: TemplateStringsArray,
    parameters: SentParameters,
  ): PromiseLike<Rows> => {
    // A statement that writes answers a single row: nothing has to take its rows together.
    const send: Sending["send"] = described.write
      ? (parameters) => pass(sql, strings, ...parameters)
      : (parameters) => takeRows((...statement) => pass(sql, ...statement), strings, ...parameters);
    const sending = { described, parameters, send };
    const active = context.active();
    const { write } = described;
    const carried = write && carriedBy(telemetry, write, parameters);
    if (carried !== undefined) return sendCarried(telemetry, sending, carried);
    const written = write && writtenBy(write.places, parameters);
    return written?.type === undefined
      ? sendStatement(telemetry, sending, active)
      : sendWritten(telemetry, sending, written, translate, active);
  };
  return (sql, strings, ...parameters) => {
    if (telemetry.isOff()) return pass(sql, strings, ...parameters);
    const described = describeStatement(strings);
    return described instanceof Promise
      ? described.then((it) => sendDescribed(it, sql, strings, parameters))
      : sendDescribed(described, sql, strings, parameters);
  };
}

/** Sends a statement within the span of what it writes. The span ends when the answer is understood. */
function sendWritten(
  telemetry: Telemetry,
  sending: Sending,
  written: WrittenParts,
  translate: (error: unknown) => unknown,
  active: Context,
): PromiseLike<Rows> {
  const { described } = sending;
  const startedAt = performance.now();
  const operation = operationOf(telemetry, written.type ?? "send", written.template);
  const span = startWriting(telemetry, operation, written, sending.parameters, active);
  const within = trace.setSpan(active, span);
  const isRecording = span.isRecording();
  const parameters = isRecording
    ? parametersWithTrace(sending.parameters, written, span, active)
    : sending.parameters;
  const end = (seconds: number, { errorType, each }: FoundErrors): void => {
    const failure = errorType === undefined ? undefined : failSpan(span, errorType);
    if (each) countEach(telemetry, written, each);
    else countSent(telemetry, operation, written, failure);
    telemetry.instruments.operationDuration(
      seconds,
      withFailure(operation.attributes, failure),
    );
    endSpan(span);
  };
  return watch(
    within,
    // Beneath a span that is not sampled, the statement has none: it would not be sampled either.
    () =>
      isRecording
        ? sendStatement(telemetry, { ...sending, parameters }, within)
        : sending.send(parameters),
    (answer) => {
      const seconds = secondsSince(startedAt);
      if (!isRecording) measure(telemetry, described, seconds);
      end(seconds, foundIn(described.write!, sending.parameters, answer));
    },
    (error) => {
      const seconds = secondsSince(startedAt);
      if (!isRecording) measure(telemetry, described, seconds, statementFailure(error));
      end(seconds, { errorType: errorTypeOf(translate(error)) });
    },
  );
}

/** Starts the span of what is written. A sampler sees the attributes that the conventions want it to see. */
function startWriting(
  { tracer }: Telemetry,
  { name, attributes }: KnownOperation,
  written: WrittenParts,
  parameters: SentParameters,
  active: Context,
): Span {
  const { destination, consumer } = written;
  const creation = creationOf(written, parameters, active);
  const span = tracer.startSpan(name, {
    kind: written.type === "send" && creation === undefined ? SpanKind.PRODUCER : SpanKind.CLIENT,
    ...(creation && { links: [{ context: creation }] }),
    // The spread of most is last: V8 is slow to add to an object that begins with it.
    attributes: destination === undefined
      ? attributes
      : { [ATTRIBUTE.destination]: destination, ...consumer, ...attributes },
  }, active);
  if (span.isRecording()) span.setAttributes(written.details);
  return span;
}

function countSent(
  telemetry: Telemetry,
  operation: KnownOperation,
  { type, counts }: WrittenParts,
  failure: Attributes | undefined,
): void {
  if (type !== "send") return;
  const { sent } = telemetry.instruments;
  for (const [template, count] of counts) {
    const { counted } = template === operation.template
      ? operation
      : operationOf(telemetry, "send", template);
    sent(count, withFailure(counted, failure));
  }
}

/** Counts writes that have outcomes of their own. */
function countEach(
  telemetry: Telemetry,
  { categoryAt }: WrittenParts,
  each: NonNullable<FoundErrors["each"]>,
): void {
  for (const [at, errorType] of each.entries()) {
    if (errorType === null) continue;
    const failure = errorType === undefined ? undefined : { [ATTRIBUTE.errorType]: errorType };
    const { counted } = operationOf(telemetry, "send", categoryAt!(at));
    telemetry.instruments.sent(1, withFailure(counted, failure));
  }
}

/** The context that the sender has given the message; undefined for several messages. */
function creationOf(
  { type, isMessage, traceAt }: WrittenParts,
  parameters: SentParameters,
  active: Context,
): ReturnType<typeof spanContextIn> {
  if (type !== "send" || isMessage || traceAt === undefined) return undefined;
  return spanContextIn({ traceparent: ownTraceIn(parameters[traceAt] ?? null, active) });
}

function parametersWithTrace(
  parameters: SentParameters,
  { isMessage, traceAt }: WrittenParts,
  span: Span,
  active: Context,
): SentParameters {
  if (traceAt === undefined) return parameters;
  const carrier = carrierOf(span.spanContext());
  const given = parameters[traceAt] ?? null;
  const changed = isMessage
    ? columnsWithTrace(given!, carrier, isMessage, active)
    : withTrace(given, carrier, active);
  return changed === undefined
    ? parameters
    : parameters.map((parameter, at) => at === traceAt ? changed : parameter);
}

/**
 * The spans of the writes that a statement of a group carries; undefined for any other statement. The ids tell, and
 * not the active context: a program that only measures has no context manager.
 */
function carriedBy(
  { carried }: Telemetry,
  { operation, places }: LearnedStatement,
  parameters: SentParameters,
): readonly Span[] | undefined {
  if (carried.size === 0 || operation !== "write") return undefined;
  const columns = parameters[places["columns"] ?? -1];
  const ids = columns == null ? [parameters[places["id"]!]] : columnsBeforeData(columns).id;
  const spans = ids.flatMap((id) => carried.get(id!) ?? []);
  return spans.length === ids.length ? spans : undefined;
}

/** Sends the statement of a group: beneath the span of the one write, or linked to those of all. */
function sendCarried(
  telemetry: Telemetry,
  sending: Sending,
  spans: readonly Span[],
): PromiseLike<Rows> {
  const [only] = spans.length === 1 ? spans : [];
  if (only === undefined) return sendStatement(telemetry, sending, ROOT_CONTEXT, spans);
  const within = trace.setSpan(ROOT_CONTEXT, only);
  return only.isRecording()
    ? sendStatement(telemetry, sending, within)
    : sendMeasured(telemetry, sending, within);
}
