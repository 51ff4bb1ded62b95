import {
  type Attributes,
  type Context,
  context,
  type Span,
  SpanKind,
  trace,
} from "@opentelemetry/api";
import { sqlStateOf } from "../handle/_driver_error.ts";
import type { Rows } from "../types.ts";
import { errorOfImport } from "./_answered.ts";
import { ATTRIBUTE } from "./_conventions.ts";
import type { Described } from "./_described.ts";
import { errorTypeOf, failSpan, withFailure } from "./_error_type.ts";
import { secondsSince, type Telemetry } from "./_telemetry.ts";
import { endSpan } from "./_unfailing.ts";
import type { SentParameters } from "./_trace_context.ts";

/** A statement that is sent: with its parameters, unless others are given. */
export interface Sending {
  readonly described: Described;
  readonly parameters: SentParameters;
  readonly send: (parameters: SentParameters) => PromiseLike<Rows>;
}

/**
 * Sends something within a context, and tells what came of it. It makes one promise: while spans are traced, each
 * promise costs the context manager of Node something.
 */
export function watch(
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

/** Sends a statement, as a span of the database. */
export function sendStatement(
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

export function sendMeasured(
  telemetry: Telemetry,
  { described, parameters, send }: Sending,
  within: Context,
  span?: Span,
): PromiseLike<Rows> {
  const startedAt = performance.now();
  return watch(within, () => send(parameters), (answer) => {
    const seconds = secondsSince(startedAt);
    // The operation throws when the handle has answered, as those do that write.
    const errorType = described.isImport ? errorOfImport(answer) : undefined;
    const failure = errorType === undefined ? undefined : { [ATTRIBUTE.errorType]: errorType };
    measure(telemetry, described, seconds, failure);
    if (span === undefined) return;
    if (errorType !== undefined) failSpan(span, errorType);
    endSpan(span);
  }, (error) => {
    const failure = statementFailure(error);
    measure(telemetry, described, secondsSince(startedAt), failure);
    if (span === undefined) return;
    failSpan(span, errorTypeOf(error));
    span.setAttributes(failure);
    endSpan(span);
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
  telemetry.instruments.statementDuration(seconds, all);
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
