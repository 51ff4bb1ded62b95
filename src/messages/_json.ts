import { invalid } from "../lib/invalid.ts";
import { randomUuid } from "../lib/random_uuid.ts";
import { checkId, checkName } from "../names/_check.ts";
import { checkMessage } from "./_check_message.ts";
import type { MessageInput } from "../types.ts";

/** The columns of a message as parameters: all are text, and `data` and `metadata` are JSON. */
export interface EncodedMessage {
  readonly id: string;
  readonly type: string;
  readonly data: string | null;
  readonly metadata: string | null;
}

/** Checks a message and converts it to parameters. Makes an id if the message has none. */
export function encodeMessage(message: MessageInput): EncodedMessage {
  checkMessage(message);
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

/**
 * Makes a UUID of version 7: the time in milliseconds, then 74 random bits. Ids of one time share a
 * page of the index.
 */
function newId(): string {
  const now = Date.now();
  if (now !== latestTime) {
    latestTime = now;
    const time = now.toString(16).padStart(12, "0");
    latestPrefix = `${time.slice(0, 8)}-${time.slice(8)}-7`;
  }
  return latestPrefix + randomUuid().slice(15);
}

/** The time of the last id, in milliseconds, and the beginning of all ids of that time. */
let latestTime = NaN;
let latestPrefix = "";

/**
 * The columns of messages as one JSON text: one list for each column, because PostgreSQL takes
 * lists apart faster than objects.
 *
 * @param columns More columns.
 */
export function toColumns(
  messages: readonly (EncodedMessage | null)[],
  columns?: Readonly<Record<string, readonly unknown[]>>,
): string {
  const head = JSON.stringify({
    ...columns,
    id: messages.map((message) => message?.id ?? null),
    type: messages.map((message) => message?.type ?? null),
  });
  const data = messages.map((message) => message?.data ?? "null").reduce(joined, "");
  const metadata = messages.map((message) => message?.metadata ?? "null").reduce(joined, "");
  return `${head.slice(0, -1)},"data":[${data}],"metadata":[${metadata}]}`;
}

/** `join` would copy each text once more. */
function joined(list: string, item: string): string {
  return list ? `${list},${item}` : item;
}

/** `\u0000` and half a surrogate pair, as `JSON.stringify` writes them. `jsonb` refuses both. */
const UNWRITABLE_JSON = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/;

/** What `Object.prototype.toString` says of objects that are more than their properties. */
const BUILT_IN = / (Error|(Weak)?(Map|Set)|Promise|RegExp)]/;

/** The JSON of a value; null for null. Throws if JSON would lose a part of the value. */
export function stringify(name: string, value: unknown): string | null {
  if (value === null) return null;
  let json;
  let loss;
  try {
    json = JSON.stringify(value);
    loss = findLoss(value);
  } catch (error) {
    loss = /BigInt/.test(String(error)) ? findLoss(value) : null;
    if (loss) throw lossy(name, loss, error);
    const { message } = error as Error;
    throw new TypeError(`Cannot write "${name}" as JSON: ${message}`, { cause: error });
  }
  if (loss) throw lossy(name, loss);
  // The search is twenty times as fast as the expression, which a long text without escapes need not pay for.
  if (json.includes("\\u") && UNWRITABLE_JSON.test(json)) {
    throw new TypeError(`Cannot write "${name}" as JSON: it holds "\\u0000" or a lone surrogate`);
  }
  return json;
}

function lossy(name: string, [path, what]: Loss, cause?: unknown): TypeError {
  return new TypeError(`Cannot write "${name}${path}" as JSON: it is ${what}`, { cause });
}

type Loss = [path: string, what: string];

/**
 * Finds the first part of a value that JSON would lose: `JSON.stringify` leaves it out, or writes
 * something else.
 *
 * @returns The path from the value to the part, and what the part is; null if nothing would be
 * lost.
 */
function findLoss(value: unknown, key = ""): Loss | null {
  if (value == null) return value === null ? null : ["", "undefined"];
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === "function") {
    const json = toJSON.call(value, key);
    if (json === null && Object.prototype.toString.call(value) === "[object Date]") {
      return ["", "an invalid date"];
    }
    value = json;
  }
  if (value === null || typeof value === "string" || typeof value === "boolean") return null;
  if (typeof value === "number") return Number.isFinite(value) ? null : ["", String(value)];
  if (typeof value !== "object") return ["", typeof value];
  if (Array.isArray(value)) {
    // By index, because a hole of a sparse array is undefined too.
    for (let at = 0; at < value.length; at++) {
      const loss = findLoss(value[at], String(at));
      if (loss) return [`[${at}]${loss[0]}`, loss[1]];
    }
    return null;
  }
  const keys = Object.keys(value!);
  // JSON of a Map, a Promise or an Error has the properties that somebody has added, and nothing of what it
  // is: of an Error, no message. JSON of bytes is an object of numbers.
  const kind = Object.prototype.toString.call(value);
  if (
    kind !== "[object Object]" &&
      (keys.length === 0 || BUILT_IN.test(kind) || ArrayBuffer.isView(value)) ||
    value instanceof Error
  ) return ["", kind];
  for (const key of keys) {
    const member = (value as Record<string, unknown>)[key];
    const loss = member === undefined ? null : findLoss(member, key);
    if (loss) return [`.${key}${loss[0]}`, loss[1]];
  }
  return null;
}
