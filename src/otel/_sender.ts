import {
  type Attributes,
  type Context,
  context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  trace,
} from "@opentelemetry/api";
import { sqlStateOf, translateDriverError } from "../handle/_driver_error.ts";
import { type OwnHandle, takeRows } from "../handle/_statement.ts";
import type { Rows, Sql } from "../types.ts";
import { errorTypeIn } from "./_answered.ts";
import { ATTRIBUTE } from "./_conventions.ts";
import { type Described, describeStatement } from "./_described.ts";
import { errorTypeOf, failSpan, withFailure } from "./_error_type.ts";
import { carriedSpans } from "./_observer.ts";
import { type KnownOperation, operationOf, secondsSince, type Telemetry } from "./_telemetry.ts";
import {
  carrierOf,
  columnsWithTrace,
  ownTraceIn,
  type SentParameters,
  spanContextIn,
  withTrace,
} from "./_trace_context.ts";
import { writtenBy, type WrittenParts } from "./_written.ts";

/** A statement that is sent: with its parameters, unless others are given. */
interface Sending {
  readonly described: Described;
  readonly parameters: SentParameters;
  readonly send: (parameters: SentParameters) => PromiseLike<Rows>;
}

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
    // What writes answers one row.
    const send: Sending["send"] = described.write
      ? (parameters) => pass(sql, strings, ...parameters)
      : (parameters) => takeRows((...statement) => pass(sql, ...statement), strings, ...parameters);
    const sending = { described, parameters, send };
    const active = context.active();
    const carried = carriedSpans(active);
    if (carried !== undefined) return sendCarried(telemetry, sending, carried);
    const written = described.write && writtenBy(described.write.places, parameters);
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

/**
 * Sends something within a context, and tells what came of it. It makes one promise: while spans are traced, each
 * promise costs the context manager of Node something.
 */
function watch(
  within: Context,
  send: () => PromiseLike<Rows>,
  answered: (answer: Rows) => void,
  failed: (error: unknown) => void,
): PromiseLike<Rows> {
  const fail = (error: unknown): never => {
    failed(error);
    throw error;
  };
  const succeed = (answer: Rows): Rows => {
    answered(answer);
    return answer;
  };
  try {
    // The answer may be a query that is sent when somebody waits for it: it is sent within the context, too.
    return context.with(within, () => send().then(succeed, fail));
  } catch (error) {
    return fail(error);
  }
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
  const end = (seconds: number, errorType: string | undefined): void => {
    const failure = errorType === undefined ? undefined : failSpan(span, errorType);
    countSent(telemetry, operation, written, failure);
    telemetry.instruments.operationDuration.record(
      seconds,
      withFailure(operation.attributes, failure),
    );
    span.end();
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
      end(seconds, errorTypeIn(described.write!, sending.parameters, answer));
    },
    (error) => {
      const seconds = secondsSince(startedAt);
      if (!isRecording) measure(telemetry, described, seconds, statementFailure(error));
      end(seconds, errorTypeOf(translate(error)));
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
    const { attributes } = template === operation.template
      ? operation
      : operationOf(telemetry, "send", template);
    sent.add(count, withFailure(attributes, failure));
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

/** Sends a statement, as a span of the database. */
function sendStatement(
  telemetry: Telemetry,
  sending: Sending,
  parent: Context,
  carried: readonly Span[] = [],
): PromiseLike<Rows> {
  const span = telemetry.tracer.startSpan(sending.described.summary, {
    kind: SpanKind.CLIENT,
    attributes: statementAttributes(telemetry, sending.described),
    ...(carried.length > 0 && { links: carried.map((it) => ({ context: it.spanContext() })) }),
  }, parent);
  for (const it of carried) it.addLink({ context: span.spanContext() });
  return sendMeasured(telemetry, sending, trace.setSpan(parent, span), span);
}

function sendMeasured(
  telemetry: Telemetry,
  { described, parameters, send }: Sending,
  within: Context,
  span?: Span,
): PromiseLike<Rows> {
  const startedAt = performance.now();
  return watch(within, () => send(parameters), () => {
    measure(telemetry, described, secondsSince(startedAt));
    span?.end();
  }, (error) => {
    const failure = statementFailure(error);
    measure(telemetry, described, secondsSince(startedAt), failure);
    if (span === undefined) return;
    failSpan(span, errorTypeOf(error));
    span.setAttributes(failure);
    span.end();
  });
}

/** Notes how long a statement took. */
export function measure(
  telemetry: Telemetry,
  described: Described,
  seconds: number,
  failure?: Attributes,
): void {
  const all = withFailure(statementAttributes(telemetry, described), failure);
  telemetry.instruments.statementDuration.record(seconds, all);
}

/** What spans and metrics of a statement have. */
export function statementAttributes(
  { attributes, ofStatements, statements }: Telemetry,
  described: Described,
): Attributes {
  let all = statements.get(described);
  if (all === undefined) {
    all = { ...attributes, ...ofStatements, ...described.attributes };
    statements.set(described, all);
  }
  return all;
}

/** What a statement failed by, and the state that PostgreSQL gave the error. */
export function statementFailure(error: unknown): Attributes {
  const state = sqlStateOf(error);
  return {
    [ATTRIBUTE.errorType]: errorTypeOf(error),
    ...(state !== undefined && { [ATTRIBUTE.dbStatus]: state }),
  };
}
