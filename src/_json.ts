import { checkId, checkName, invalid } from "./_check.ts";
import type { MessageInput } from "./types.ts";

/** A message's columns as parameters: every one text, `data` and `metadata` as JSON. */
export interface EncodedMessage {
  readonly id: string;
  readonly type: string;
  readonly data: string | null;
  readonly metadata: string | null;
}

/** Checks a message and makes text of it; makes an id where it has none. */
export function encode(message: MessageInput): EncodedMessage {
  if (typeof message !== "object" || message === null || Array.isArray(message)) {
    throw invalid("message", message, "an object with a type");
  }
  const { id, type, data, metadata } = message;
  if (id !== undefined) checkId(id);
  checkName("type", type);
  const metadataJson = stringify("metadata", metadata ?? null);
  if (metadataJson !== null && metadataJson[0] !== "{") {
    throw invalid("metadata", metadata, "an object");
  }
  return {
    id: id?.toLowerCase() ?? newId(),
    type,
    data: "data" in message ? stringify("data", data) : null,
    metadata: metadataJson,
  };
}

/** A UUID of version 7: the time, then 74 random bits. Those of one time share a page of the index. */
function newId(): string {
  const time = Date.now().toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${crypto.randomUUID().slice(15)}`;
}

/** A message as an element of the JSON text that a batch travels as. */
export function toJson(
  { id, type, data, metadata }: EncodedMessage,
  streamName?: string,
  expectedVersion?: string | null,
): string {
  const head = JSON.stringify({
    stream_name: streamName,
    expected_version: expectedVersion,
    id,
    type,
  });
  return `${head.slice(0, -1)},"data":${data},"metadata":${metadata}}`;
}

/** `\u0000` and half a surrogate pair, as `JSON.stringify` writes them: `jsonb` refuses both. */
const UNWRITABLE = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/;

function stringify(name: string, value: unknown): string | null {
  if (value === null) return null;
  let json;
  try {
    json = JSON.stringify(value);
  } catch (error) {
    // This says where a BigInt is. It does not come to an end of a cycle.
    if (!(error instanceof RangeError) && !/circular|cycl/i.test(String(error))) {
      refuseLoss(name, value);
    }
    throw new TypeError(`Cannot write "${name}" as JSON: ${(error as Error).message}`, {
      cause: error,
    });
  }
  refuseLoss(name, value);
  if (UNWRITABLE.test(json)) {
    throw new TypeError(`Cannot write "${name}" as JSON: it holds "\\u0000" or a lone surrogate`);
  }
  return json;
}

/** `JSON.stringify` leaves out or turns to null what JSON cannot hold; this names it instead. */
function refuseLoss(path: string, value: unknown): void {
  if (hasToJson(value)) {
    const json = value.toJSON();
    if (json === null && value instanceof Date) throw lossy(path, "an invalid date");
    value = json;
  }
  if (value === null || typeof value === "string" || typeof value === "boolean") return;
  if (typeof value === "number" && Number.isFinite(value)) return;
  if (Array.isArray(value)) {
    // By index: a hole is undefined, too.
    for (let at = 0; at < value.length; at++) refuseLoss(`${path}[${at}]`, value[at]);
    return;
  }
  // A Map, a Promise or an Error would be written as {}.
  const kind = Object.prototype.toString.call(value);
  if (kind !== "[object Object]") {
    throw lossy(
      path,
      typeof value === "object" ? kind : typeof value === "number" ? value : typeof value,
    );
  }
  for (const key of Object.keys(value as object)) {
    const member = (value as Record<string, unknown>)[key];
    if (member !== undefined) refuseLoss(`${path}.${key}`, member);
  }
}

function hasToJson(value: unknown): value is { toJSON(): unknown } {
  return value != null && typeof (value as { toJSON?: unknown }).toJSON === "function";
}

function lossy(path: string, what: unknown): TypeError {
  return new TypeError(`Cannot write "${path}" as JSON: it is ${what}`);
}
