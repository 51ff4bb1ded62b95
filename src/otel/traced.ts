import type { Attributes, Meter, Tracer } from "@opentelemetry/api";
import { deriveHandle } from "../handle/_derive_handle.ts";
import type { ObservedSource } from "../handle/_observe.ts";
import { type OwnHandle, ownOf } from "../handle/_statement.ts";
import { invalid } from "../lib/invalid.ts";
import { checkOptions } from "../names/_check.ts";
import type { Sql } from "../types.ts";
import { measuredBegin } from "./_commit.ts";
import { ATTRIBUTE } from "./_conventions.ts";
import { consumerObserver, groupObserver } from "./_observer.ts";
import { sender } from "./_sender.ts";
import { makeInstruments } from "./_instruments.ts";
import { meterOf, offSwitch, type Telemetry, tracerOf } from "./_telemetry.ts";

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
  });
}

/** What the handles of a traced store have together. */
type SharedTelemetry = Pick<
  Telemetry,
  "tracer" | "isOff" | "instruments" | "isChild" | "attributes"
>;

/** Makes a traced handle of one that is not. */
function tracedHandle<Handle extends Sql>(sql: Handle, shared: SharedTelemetry): Handle {
  const telemetry: Telemetry = {
    ...shared,
    attributes: { ...serverOf(sql), ...shared.attributes },
    ofStatements: databaseOf(sql),
    operations: new Map(),
    statements: new WeakMap(),
    carried: new Map(),
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
  return deriveHandle(sql, keep, undefined, (begin) => measuredBegin(telemetry, begin));
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
