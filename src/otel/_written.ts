import type { Attributes } from "@opentelemetry/api";
import { OWN } from "../names/_own_streams.ts";
import { category, ids } from "../names/stream_name.ts";
import type { Described } from "./_described.ts";
import { ATTRIBUTE, OWN_ATTRIBUTE } from "./_conventions.ts";

type Sent = readonly (string | null)[];

/** What a statement writes. */
export interface WrittenParts {
  /** Undefined for the library's own messages that settle nothing: claims, snapshots and such. */
  readonly type: "send" | "settle" | undefined;
  /** The category, if it is one; for what a consumer settles, the category that it reads. */
  readonly template: string | undefined;
  /** How many messages there are of each category. */
  readonly counts: ReadonlyMap<string, number>;
  readonly attributes: Attributes;
  /** Which parameter has the metadata, or the columns of a batch; undefined if they are to stay as they are. */
  readonly traceAt: number | undefined;
  readonly isBatch: boolean;
  /** Of a batch: whether the row is a message, and no stream that is only checked. */
  readonly isMessage: (at: number) => boolean;
}

/** Tells what a statement writes, without a look at data. */
export function writtenBy(places: NonNullable<Described["write"]>, parameters: Sent): WrittenParts {
  const at = (name: string): string | null => parameters[places[name] ?? -1] ?? null;
  const columns = at("columns");
  if (columns === null) {
    const row = { streamName: at("streamName")!, type: at("type")!, id: at("id")! };
    return writtenRows([row], places["metadata"], false, () => true);
  }
  const head = columnsBeforeData(columns);
  const { id, type, inStream, streamName = [] } = head;
  const streamNameAt = (row: number) =>
    at("streamName") ?? streamName[(inStream?.[row] ?? row + 1) - 1]!;
  const isMessage = (row: number) => id[row] !== null;
  const rows = id.flatMap((it, row) =>
    it === null ? [] : [{ streamName: streamNameAt(row), type: type[row]!, id: it }]
  );
  return writtenRows(rows, places["columns"], true, isMessage);
}

interface ColumnsBeforeData {
  readonly id: readonly (string | null)[];
  readonly type: readonly (string | null)[];
  readonly streamName?: readonly string[];
  readonly inStream?: readonly number[];
}

/** The columns of a batch before the data, which may be long. */
function columnsBeforeData(columns: string): ColumnsBeforeData {
  // A text has no quote without a backslash before it, so this is where the data begin.
  return JSON.parse(`${columns.slice(0, columns.indexOf(',"data":['))}}`);
}

interface WrittenMessage {
  readonly streamName: string;
  readonly type: string;
  readonly id: string;
}

function writtenRows(
  rows: readonly WrittenMessage[],
  traceAt: number | undefined,
  isBatch: boolean,
  isMessage: WrittenParts["isMessage"],
): WrittenParts {
  const [first] = rows;
  const own = first && kindOfOwn(first);
  if (own !== undefined) return ofLibrary(own, first!, isBatch, isMessage);
  const counts = new Map<string, number>();
  for (const { streamName } of rows) {
    const name = category(streamName);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const template = counts.size === 1 ? category(first!.streamName) : undefined;
  const isOneStream = rows.every(({ streamName }) => streamName === first!.streamName);
  return {
    type: rows.length === 0 ? undefined : "send",
    template,
    counts,
    attributes: {
      ...(first && isOneStream && { [ATTRIBUTE.destination]: first.streamName }),
      ...(rows.length === 1 && { [ATTRIBUTE.messageId]: first!.id }),
      ...(rows.length > 1 && { [ATTRIBUTE.messageCount]: rows.length }),
    },
    traceAt,
    isBatch,
    isMessage,
  };
}

/** What a stream of the library's own is for, if the message is one that the library writes there. */
function kindOfOwn({ streamName, type }: WrittenMessage): string | undefined {
  const own = OWN.find(({ streams, types }) => types.test(type) && streams.test(streamName));
  return own && /[:+](\w+)-/.exec(streamName)![1];
}

/** Positions and parked messages settle what a consumer has read. The rest is bookkeeping. */
const SETTLES: Readonly<Record<string, string>> = {
  position: "position",
  aggregate: "position",
  parked: "parked",
};

function ofLibrary(
  kind: string,
  { streamName }: WrittenMessage,
  isBatch: boolean,
  isMessage: WrittenParts["isMessage"],
): WrittenParts {
  const settlement = Object.hasOwn(SETTLES, kind) ? SETTLES[kind]! : undefined;
  const template = category(streamName).replace(/[:+]\w+$/, "");
  const [consumerId, member, size] = ids(streamName);
  return {
    type: settlement === undefined ? undefined : "settle",
    template,
    counts: new Map(),
    attributes: {
      [ATTRIBUTE.destination]: template,
      ...(kind !== "aggregate" && { [ATTRIBUTE.group]: consumerId! }),
      ...(size !== undefined && { [ATTRIBUTE.partition]: member! }),
      ...(settlement !== undefined && { [OWN_ATTRIBUTE.settlement]: settlement }),
    },
    traceAt: undefined,
    isBatch,
    isMessage,
  };
}
