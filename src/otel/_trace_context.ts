import {
  type Attributes,
  type Context,
  createContextKey,
  createTraceState,
  isSpanContextValid,
  type Link,
  type SpanContext,
} from "@opentelemetry/api";
import type { Message } from "../types.ts";

/** A trace as the W3C's Trace Context writes it: the keys of a message's metadata, and of a request's headers. */
export interface TraceCarrier {
  readonly traceparent: string;
  readonly tracestate?: string;
}

/** The parameters of a statement. */
export type SentParameters = readonly (string | null)[];

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

export function carrierOf({ traceId, spanId, traceFlags, traceState }: SpanContext): TraceCarrier {
  const flags = traceFlags.toString(16).padStart(2, "0");
  const tracestate = traceState?.serialize();
  return { traceparent: `00-${traceId}-${spanId}-${flags}`, ...(tracestate && { tracestate }) };
}

/** The context of the span that a carrier tells of; undefined if it tells of none. */
export function spanContextIn(
  { traceparent, tracestate }: {
    readonly traceparent?: unknown;
    readonly tracestate?: unknown;
  },
): SpanContext | undefined {
  if (typeof traceparent !== "string") return undefined;
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent) ?? [];
  if (traceId === undefined) return undefined;
  const context: SpanContext = {
    traceId,
    spanId: spanId!,
    traceFlags: parseInt(flags!, 16),
    isRemote: true,
    ...(typeof tracestate === "string" && tracestate !== "" &&
      { traceState: createTraceState(tracestate) }),
  };
  return isSpanContextValid(context) ? context : undefined;
}

/** The context of the span that has sent a message; undefined if the message does not tell. */
export function senderOf({ metadata }: Message): SpanContext | undefined {
  return metadata === null ? undefined : spanContextIn(metadata);
}

/** Links to those who have sent the messages: at most as many as the SDK keeps by default. */
export function linksToSenders(
  messages: Iterable<Message>,
  attributesOf?: (message: Message) => Attributes,
): Link[] {
  const links: Link[] = [];
  for (const message of messages) {
    const sender = senderOf(message);
    if (sender === undefined) continue;
    links.push({ context: sender, ...(attributesOf && { attributes: attributesOf(message) }) });
    if (links.length === MOST_LINKS) break;
  }
  return links;
}

const MOST_LINKS = 128;

const IN_HAND = createContextKey("@messagedb/client messages in hand");

/** The context of a handler that has these messages in hand. */
export function inHand(within: Context, messages: readonly Message[]): Context {
  return within.setValue(IN_HAND, messages);
}

/** Whether a trace is that of a message in hand: then `follow` has handed it on, and nobody has chosen it. */
function isHandedOn(traceparent: unknown, active: Context): boolean {
  const messages = (active.getValue(IN_HAND) ?? []) as readonly Message[];
  return messages.some(({ metadata }) => metadata?.traceparent === traceparent);
}

/** Adds a trace to metadata, unless they have one of their own; undefined if they have. */
export function withTrace(
  metadata: string | null,
  carrier: TraceCarrier,
  active: Context,
): string | undefined {
  if (metadata === null) return JSON.stringify(carrier);
  if (ownTraceIn(metadata, active) !== undefined) return undefined;
  if (mayHaveTrace(metadata)) return JSON.stringify(replaceTrace(JSON.parse(metadata), carrier));
  const rest = JSON.stringify(carrier).slice(1);
  return metadata === "{}" ? `{${rest}` : `${metadata.slice(0, -1)},${rest}`;
}

type TracedMetadata = Readonly<Record<string, unknown>>;

/** The `tracestate` goes with the `traceparent` that it belongs to. */
function replaceTrace(metadata: TracedMetadata | null, carrier: TraceCarrier): TracedMetadata {
  return { ...metadata, tracestate: undefined, ...carrier };
}

/** To parse all metadata would cost more than to look for the name first. */
function mayHaveTrace(metadata: string): boolean {
  return metadata.includes('"traceparent"');
}

/** The `traceparent` of metadata as JSON; undefined if they have none, or one that was handed on. */
export function ownTraceIn(metadata: string | null, active: Context): unknown {
  if (metadata === null || !mayHaveTrace(metadata)) return undefined;
  const { traceparent } = JSON.parse(metadata) as { readonly traceparent?: unknown };
  return isHandedOn(traceparent, active) ? undefined : traceparent;
}

/**
 * Adds a trace to the metadata of all messages of a batch that have none of their own and are wanted.
 *
 * @param columns The messages, as `toColumns` writes them.
 */
export function columnsWithTrace(
  columns: string,
  carrier: TraceCarrier,
  isWanted: (at: number) => boolean,
  active: Context,
): string {
  const lists = JSON.parse(columns) as { readonly metadata: readonly (TracedMetadata | null)[] };
  const hasOwn = (traceparent: unknown) =>
    traceparent !== undefined && !isHandedOn(traceparent, active);
  const metadata = lists.metadata.map((it, at) =>
    !isWanted(at) || hasOwn(it?.["traceparent"]) ? it : replaceTrace(it, carrier)
  );
  // The metadata come last, so the data need not be written again.
  const end = `${JSON.stringify(lists.metadata)}}`;
  return columns.endsWith(end)
    ? `${columns.slice(0, -end.length)}${JSON.stringify(metadata)}}`
    : JSON.stringify({ ...lists, metadata });
}
