import {
  type Attributes,
  type Context,
  context,
  type Meter,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import { deriveHandle } from "../handle/_derive_handle.ts";
import { sqlStateOf, translateDriverError } from "../handle/_driver_error.ts";
import type { ObservedSource } from "../handle/_observe.ts";
import { type OwnHandle, ownOf, takeRows } from "../handle/_statement.ts";
import { invalid } from "../lib/invalid.ts";
import { checkOptions } from "../names/_check.ts";
import type { Rows, Sql } from "../types.ts";
import { ATTRIBUTE } from "./_conventions.ts";
import { type Described, describeStatement } from "./_described.ts";
import { errorTypeOf, failSpan } from "./_error_type.ts";
import { carriedSpans, consumerObserver, groupObserver } from "./_observer.ts";
import {
  makeInstruments,
  meterOf,
  offSwitch,
  operationOf,
  secondsSince,
  type Telemetry,
  tracerOf,
} from "./_telemetry.ts";
import {
  carrierOf,
  columnsWithTrace,
  spanContextIn,
  traceIn,
  withTrace,
} from "./_trace_context.ts";
import { writtenBy, type WrittenParts } from "./_written.ts";

/** Options of `traced`. */
export interface TracedOptions {
  /**
   * What makes the spans.
   *
   * @default the tracer "@messagedb/client" of the registered provider
   */
  readonly tracer?: Tracer | undefined;
  /**
   * What makes the metrics.
   *
   * @default the meter "@messagedb/client" of the registered provider
   */
  readonly meter?: Meter | undefined;
  /**
   * Whether a handler of one message runs in the trace of its sender, as a child of the span that wrote the
   * message. A handler of pages never does: its messages have several senders.
   *
   * @default none: the handler's span is linked to the sender's
   */
  readonly parent?: "sender" | undefined;
  /**
   * What all spans and metrics get besides, such as `server.address` of a handle that does not tell. Use few
   * values: each is a time series of its own.
   *
   * @default none
   */
  readonly attributes?: Readonly<Record<string, string | number | boolean>> | undefined;
}

/**
 * Makes a handle whose operations are spans and metrics of OpenTelemetry.
 *
 * Every function of this library takes the handle, and it works as the given one does: transactions, savepoints
 * and reserved connections are traced, too, and so are partitions and schemas. SQL of your own is sent as it is,
 * without a span. The names are those of OpenTelemetry's semantic conventions, version 1.45.0. No attribute holds
 * data of a message, a parameter or the text of an error.
 *
 * Where a span records, `traceparent` and `tracestate` are added to the metadata of what is written, unless the
 * metadata have a `traceparent`. Imported messages and the library's own ones stay as they are.
 *
 * Register the SDK before the first call, with a context manager: by that, spans find their parents.
 *
 * @example Trace all that a program does with a handle
 * ```ts
 * import { write } from "@messagedb/client";
 * import { traced } from "@messagedb/client/otel";
 *
 * const tracedSql = traced(sql);
 * await write(tracedSql, "account-123", { type: "Opened" }); // the spans "send account" and "SELECT write_message"
 * ```
 *
 * @typeParam Handle The type of the handle: the new handle does what the given one does.
 * @param sql The handle: of a driver, or of `fetchSql`, `inSchema` or `partitioned`.
 * @param options With what, and how handlers are traced.
 * @returns The handle.
 * @throws {TypeError} If the handle is none or is traced already, or an option is of the wrong type.
 */
export function traced<Handle extends Sql>(sql: Handle, options: TracedOptions = {}): Handle {
  checkOptions(options, { tracer: true, meter: true, parent: true, attributes: true });
  const { tracer, meter, parent, attributes = {} } = options;
  if (parent !== undefined && parent !== "sender") throw invalid("parent", parent, '"sender"');
  if (typeof sql !== "function") throw invalid("sql", sql, "a handle: a tagged-template function");
  const own = ownOf(sql);
  if (own?.observe || own?.partitions?.some((it) => ownOf(it)?.observe)) {
    throw new TypeError("Cannot trace this handle: it is traced already");
  }
  const meterInUse = meterOf(meter);
  return tracedHandle(sql, {
    tracer: tracerOf(tracer),
    isOff: offSwitch(tracer, meterInUse),
    instruments: makeInstruments(meterInUse),
    isChild: parent === "sender",
    attributes,
    ofStatements: {},
    operations: new Map(),
    statements: new WeakMap(),
  });
}

/** Makes a traced handle of one that is not. */
function tracedHandle<Handle extends Sql>(sql: Handle, shared: Telemetry): Handle {
  const telemetry: Telemetry = {
    ...shared,
    attributes: { ...serverOf(sql), ...shared.attributes },
    ofStatements: databaseOf(sql),
    operations: new Map(),
    statements: new WeakMap(),
  };
  const stores = new Map<Sql, Sql>();
  /** The traced handle of a partition. */
  const storeOf = (store: Sql): Sql => {
    let known = stores.get(store);
    if (known === undefined) stores.set(store, known = tracedHandle(store, shared));
    return known;
  };
  const observers = {
    again: (sql: Sql) => tracedHandle(sql, shared),
    consumer: (source: ObservedSource) =>
      telemetry.isOff() ? undefined : consumerObserver(telemetry, source),
    group: () => telemetry.isOff() ? undefined : groupObserver(telemetry),
  };
  const keep = (given: Sql): OwnHandle => {
    const inner = ownOf(given);
    const { partitions } = inner ?? {};
    return {
      ...inner,
      observe: { ...observers, given },
      send: sender(telemetry, inner),
      ...(inner?.storeOf && {
        storeOf: (sql: Sql, names: readonly string[]) => {
          const store = inner.storeOf!(sql, names);
          return store === sql ? sql : storeOf(store);
        },
      }),
      ...(partitions && { partitions: partitions.map(storeOf) }),
    };
  };
  return deriveHandle(sql, keep);
}

/** What postgres.js says of where a handle leads to. */
interface LeadingTo {
  readonly options?: {
    readonly host?: unknown;
    readonly port?: unknown;
    readonly database?: unknown;
  };
}

function databaseOf(sql: Sql): Attributes {
  const { database } = (sql as LeadingTo).options ?? {};
  return typeof database === "string" ? { [ATTRIBUTE.dbNamespace]: database } : {};
}

/** The server of a handle of postgres.js, if it is one server. */
function serverOf(sql: Sql): Attributes {
  const { host, port } = (sql as LeadingTo).options ?? {};
  const [address] = Array.isArray(host) && host.length === 1 ? host : [];
  return {
    ...(typeof address === "string" && { [ATTRIBUTE.serverAddress]: address }),
    ...(typeof address === "string" && Array.isArray(port) && typeof port[0] === "number" &&
      { [ATTRIBUTE.serverPort]: port[0] }),
  };
}

type SentParameters = readonly (string | null)[];

/** A statement that is sent: with its parameters, unless others are given. */
interface Sending {
  readonly described: Described;
  readonly parameters: SentParameters;
  readonly send: (parameters: SentParameters) => Promise<Rows>;
}

/** Makes the function that sends statements, with their spans. */
function sender(
  telemetry: Telemetry,
  inner: OwnHandle | undefined,
): NonNullable<OwnHandle["send"]> {
  const translate = inner?.translate ?? translateDriverError;
  // A statement goes to the handle that it was sent with: that may be of a transaction.
  const pass: NonNullable<OwnHandle["send"]> = (sql, ...statement) =>
    inner?.send?.(sql, ...statement) ?? sql(...statement);
  const sendDescribed = (described: Described, sql: Sql, ...statement: Parameters<Sql>) => {
    const [strings, ...parameters] = statement;
    const beneath: Sql = (...statement) => pass(sql, ...statement);
    // What writes answers one row.
    const send = (parameters: SentParameters): Promise<Rows> =>
      described.write
        ? Promise.resolve(pass(sql, strings, ...parameters))
        : takeRows(beneath, strings, ...parameters);
    const sending = { described, parameters, send };
    const carried = carriedSpans();
    if (carried !== undefined) return sendCarried(telemetry, sending, carried);
    const written = described.write && writtenBy(described.write, parameters);
    return written?.type === undefined
      ? sendStatement(telemetry, sending, context.active())
      : sendWritten(telemetry, sending, written, translate);
  };
  return (sql, ...statement) => {
    if (telemetry.isOff()) return pass(sql, ...statement);
    const described = describeStatement(statement[0]);
    return described instanceof Promise
      ? described.then((it) => sendDescribed(it, sql, ...statement))
      : sendDescribed(described, sql, ...statement);
  };
}

/** Sends a statement within the span of what it writes. */
async function sendWritten(
  telemetry: Telemetry,
  sending: Sending,
  written: WrittenParts,
  translate: (error: unknown) => unknown,
): Promise<Rows> {
  const { tracer, instruments } = telemetry;
  const { type = "send", template, counts, attributes } = written;
  const startedAt = performance.now();
  const operation = operationOf(telemetry, type, template);
  const creation = creationOf(written, sending.parameters);
  const span = tracer.startSpan(operation.name, {
    kind: type === "send" && creation === undefined ? SpanKind.PRODUCER : SpanKind.CLIENT,
    ...(creation && { links: [{ context: creation }] }),
    attributes: { ...operation.attributes, ...attributes },
  });
  let failure: Attributes | undefined;
  try {
    return await sendBeneath(telemetry, {
      ...sending,
      parameters: parametersWithTrace(sending.parameters, written, span),
    }, trace.setSpan(context.active(), span));
  } catch (error) {
    failure = failSpan(span, translate(error));
    throw error;
  } finally {
    for (const [template, count] of counts) {
      const { attributes } = operationOf(telemetry, "send", template);
      instruments.sent.add(count, withFailure(attributes, failure));
    }
    const all = withFailure(operation.attributes, failure);
    instruments.operationDuration.record(secondsSince(startedAt), all);
    span.end();
  }
}

function withFailure(attributes: Attributes, failure: Attributes | undefined): Attributes {
  return failure === undefined ? attributes : { ...attributes, ...failure };
}

/** The context that the sender has given the message; undefined for several messages. */
function creationOf(
  { type, isMessage, traceAt }: WrittenParts,
  parameters: SentParameters,
): ReturnType<typeof spanContextIn> {
  if (type !== "send" || isMessage || traceAt === undefined) return undefined;
  return spanContextIn({ traceparent: traceIn(parameters[traceAt] ?? null) });
}

function parametersWithTrace(
  parameters: SentParameters,
  { isMessage, traceAt }: WrittenParts,
  span: Span,
): SentParameters {
  if (traceAt === undefined || !span.isRecording()) return parameters;
  const carrier = carrierOf(span.spanContext());
  const given = parameters[traceAt] ?? null;
  const changed = isMessage
    ? columnsWithTrace(given!, carrier, isMessage)
    : withTrace(given, carrier);
  return changed === undefined
    ? parameters
    : parameters.map((parameter, at) => at === traceAt ? changed : parameter);
}

/** Sends the statement of a group: beneath the span of the one write, or linked to those of all. */
function sendCarried(
  telemetry: Telemetry,
  sending: Sending,
  spans: readonly Span[],
): Promise<Rows> {
  const [only] = spans.length === 1 ? spans : [];
  return only
    ? sendBeneath(telemetry, sending, trace.setSpan(ROOT_CONTEXT, only))
    : sendStatement(telemetry, sending, ROOT_CONTEXT, spans);
}

/** Sends the statement of a span. If that is not sampled, the statement has none: it would not be sampled either. */
function sendBeneath(telemetry: Telemetry, sending: Sending, within: Context): Promise<Rows> {
  const isSampled = trace.getSpan(within)!.isRecording();
  return (isSampled ? sendStatement : sendMeasured)(telemetry, sending, within);
}

/** Sends a statement, as a span of the database. */
async function sendStatement(
  telemetry: Telemetry,
  sending: Sending,
  parent: Context,
  carried: readonly Span[] = [],
): Promise<Rows> {
  const { summary } = sending.described;
  const span = telemetry.tracer.startSpan(summary, {
    kind: SpanKind.CLIENT,
    attributes: statementAttributes(telemetry, sending.described),
    links: carried.map((it) => ({ context: it.spanContext() })),
  }, parent);
  for (const it of carried) it.addLink({ context: span.spanContext() });
  try {
    return await sendMeasured(telemetry, sending, trace.setSpan(parent, span));
  } catch (error) {
    span.setAttributes({ ...failSpan(span, error), ...databaseState(error) });
    throw error;
  } finally {
    span.end();
  }
}

async function sendMeasured(
  telemetry: Telemetry,
  { described, parameters, send }: Sending,
  within: Context,
): Promise<Rows> {
  const startedAt = performance.now();
  let failure: Attributes | undefined;
  try {
    return await context.with(within, send, undefined, parameters);
  } catch (error) {
    failure = { [ATTRIBUTE.errorType]: errorTypeOf(error), ...databaseState(error) };
    throw error;
  } finally {
    const all = withFailure(statementAttributes(telemetry, described), failure);
    telemetry.instruments.statementDuration.record(secondsSince(startedAt), all);
  }
}

function statementAttributes(
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

/** The state that PostgreSQL gave an error. */
function databaseState(error: unknown): Attributes {
  const state = sqlStateOf(error);
  return state === undefined ? {} : { [ATTRIBUTE.dbStatus]: state };
}
