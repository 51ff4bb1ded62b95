import type { Attributes } from "@opentelemetry/api";
import { OWN } from "../names/_own_streams.ts";
import { category, ids } from "../names/stream_name.ts";
import type { LearnedStatement } from "../http/gateway/sql/_statements.ts";
import { ATTRIBUTE, OWN_ATTRIBUTE } from "./_conventions.ts";
import type { SentParameters } from "./_trace_context.ts";

/** What a statement writes. */
export interface WrittenParts {
  /** Undefined for the library's own messages that settle nothing: claims, snapshots and such. */
  readonly type: "send" | "settle" | undefined;
  /** The category, if it is one; for what a consumer settles, the category that it reads. */
  readonly template: string | undefined;
  /** How many messages there are of each category. */
  readonly counts: readonly (readonly [category: string, count: number])[];
  /** The stream, if it is one; for what a consumer settles, the category that it reads. */
  readonly destination: string | undefined;
  /** Which consumer settles. */
  readonly consumer: Attributes | undefined;
  /** What the span has besides. By the conventions, no sampler decides by it. */
  readonly details: Attributes;
  /** Which parameter has the metadata, or the columns of a batch; undefined if they are to stay as they are. */
  readonly traceAt: number | undefined;
  /** Of a batch: whether a row is a message, and no stream that is only checked. Undefined for one message. */
  readonly isMessage: ((at: number) => boolean) | undefined;
  /** Of a batch: the category of a row. */
  readonly categoryAt?: (at: number) => string;
}

/** Tells what a statement writes, without a look at data. */
export function writtenBy(
  places: LearnedStatement["places"],
  parameters: SentParameters,
): WrittenParts {
  const at = (place: number | undefined): string | null => parameters[place ?? -1] ?? null;
  const streamName = at(places["streamName"]);
  const columns = at(places["columns"]);
  const oneId = at(places["id"]);
  if (columns === null || oneId !== null) {
    // The references of an aggregate are written with its position.
    const type = at(places["type"]) ?? "Recorded";
    return writtenOne({ streamName: streamName!, type, id: oneId! }, places["metadata"]);
  }
  const { id, type, inStream, streamName: names = [] } = columnsBeforeData(columns);
  const streamNameAt = (row: number) => streamName ?? names[(inStream?.[row] ?? row + 1) - 1]!;
  const isMessage = (row: number) => id[row] !== null;
  const messages = id.flatMap((it, row) =>
    it === null ? [] : [{ streamName: streamNameAt(row), type: type[row]!, id: it }]
  );
  const written = writtenBatch(messages, places["columns"], isMessage);
  return { ...written, categoryAt: (row) => category(streamNameAt(row)) };
}

/** The columns of a batch that come before its data. */
interface ColumnsBeforeData {
  readonly id: readonly (string | null)[];
  readonly type: readonly (string | null)[];
  readonly streamName?: readonly string[];
  readonly inStream?: readonly number[];
  readonly expectedVersion?: readonly (string | null)[];
}

/** The columns of a batch before the data, which may be long. */
export function columnsBeforeData(columns: string): ColumnsBeforeData {
  // A text has no quote without a backslash before it, so this is where the data begin.
  return JSON.parse(`${columns.slice(0, columns.indexOf(',"data":['))}}`);
}

interface WrittenMessage {
  readonly streamName: string;
  readonly type: string;
  readonly id: string;
}

function writtenOne(message: WrittenMessage, traceAt: number | undefined): WrittenParts {
  const own = kindOfOwn(message);
  if (own !== undefined) return ofLibrary(own, message);
  const { streamName, id } = message;
  const template = category(streamName);
  return {
    type: "send",
    template,
    counts: [[template, 1]],
    destination: streamName,
    consumer: undefined,
    details: { [ATTRIBUTE.messageId]: id },
    traceAt,
    isMessage: undefined,
  };
}

function writtenBatch(
  messages: readonly WrittenMessage[],
  traceAt: number | undefined,
  isMessage: WrittenParts["isMessage"],
): WrittenParts {
  const [first] = messages;
  const own = first && kindOfOwn(first);
  if (own !== undefined) return ofLibrary(own, first!);
  const counts = new Map<string, number>();
  for (const { streamName } of messages) {
    const name = category(streamName);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const isOneStream = messages.every(({ streamName }) => streamName === first!.streamName);
  return {
    type: messages.length === 0 ? undefined : "send",
    template: counts.size === 1 ? category(first!.streamName) : undefined,
    counts: [...counts],
    destination: isOneStream ? first?.streamName : undefined,
    consumer: undefined,
    details: {
      ...(messages.length === 1 && { [ATTRIBUTE.messageId]: first!.id }),
      ...(messages.length > 1 && { [ATTRIBUTE.messageCount]: messages.length }),
    },
    traceAt,
    isMessage,
  };
}

/** What a stream of the library's own is for, if the message is one that the library writes there. */
function kindOfOwn({ streamName, type }: WrittenMessage): string | undefined {
  // Most names have no type, and need no look at all expressions.
  if (!/^[^-]*[:+]/.test(streamName)) return undefined;
  const own = OWN.find(({ streams, types }) => types.test(type) && streams.test(streamName));
  return own && /[:+](\w+)-/.exec(streamName)![1];
}

/** Positions and parked messages settle what a consumer has read. The rest is bookkeeping. */
const SETTLES: Readonly<Record<string, string>> = {
  position: "position",
  aggregate: "position",
  parked: "parked",
};

function ofLibrary(kind: string, { streamName }: WrittenMessage): WrittenParts {
  const settlement = Object.hasOwn(SETTLES, kind) ? SETTLES[kind]! : undefined;
  const template = category(streamName).replace(/[:+]\w+$/, "");
  const [consumerId, member, size] = ids(streamName);
  return {
    type: settlement === undefined ? undefined : "settle",
    template,
    counts: [],
    destination: template,
    consumer: {
      ...(kind !== "aggregate" && { [ATTRIBUTE.group]: consumerId! }),
      ...(size !== undefined && { [ATTRIBUTE.partition]: member! }),
    },
    details: settlement === undefined ? {} : { [OWN_ATTRIBUTE.settlement]: settlement },
    traceAt: undefined,
    isMessage: undefined,
  };
}
