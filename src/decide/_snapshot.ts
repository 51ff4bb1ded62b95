import type { Codec, CodedMessage } from "../messages/codec.ts";
import { encodeMessage, stringify } from "../messages/_json.ts";
import { canonicalText, isPlain } from "../lib/plain.ts";
import { decodeShape, encodeShape } from "../messages/_shape.ts";
import type { StandardSchema } from "../messages/schema.ts";
import { writeUnlessBusy } from "../write/_write_unless_busy.ts";
import { readLastMessage } from "../read/read_last_message.ts";
import { snapshotStream } from "../names/_own_streams.ts";
import type { Sql } from "../types.ts";

/** Which snapshots an entity has. */
export interface Snapshots {
  readonly category: string;
  readonly every: number;
  readonly version: number | string;
  readonly schema: StandardSchema | undefined;
  readonly codec: Codec | undefined;
}

/** A state, and the message that it is the state after. */
export interface StateAt {
  readonly state: unknown;
  /** The position of that message. */
  readonly version: number;
  /** Its id. */
  readonly messageId: string;
  /** Its global position, which no other is ever given: one of the same id may be written anew. */
  readonly messageGlobalPosition: number;
}

/** A snapshot's data: by Eventide's names, and which message it is the state after. */
interface Recorded {
  readonly entityData: unknown;
  readonly entityVersion: number;
  readonly messageId: string;
  readonly messageGlobalPosition: number;
}

/** Where an entity's snapshots are. */
interface SnapshotPlace {
  readonly name: string;
  readonly type: string;
  readonly coded: CodedMessage;
}

/** The last snapshot's id, null for none, and what it says; undefined where that cannot be read. */
export async function readSnapshot(
  sql: Sql,
  snapshots: Snapshots,
  id: string,
): Promise<{ readonly id: string | null; readonly said?: StateAt }> {
  const { name, type, coded } = placeOf(snapshots, id);
  const message = await readLastMessage(sql, name, { type });
  if (message === null) return { id: null };
  const { schema, codec } = snapshots;
  const unreadable = { id: message.id };
  if (!isRecorded(message.data)) return unreadable;
  const { entityData, entityVersion: version, messageId, messageGlobalPosition } = message.data;
  let state = entityData;
  try {
    if (codec) state = await codec.decode(entityData, coded);
  } catch {
    // Its key may be gone: the messages tell what is left, or fail in the same way.
    return unreadable;
  }
  if (schema !== undefined) {
    const decoded = await decodeShape({ schema }, state);
    if (decoded.issues) return unreadable;
    state = decoded.value;
  }
  return { id: message.id, said: { state, version, messageId, messageGlobalPosition } };
}

/** Whether it is what `writeSnapshot` writes; of which message, `fetch` sees. */
function isRecorded(data: unknown): data is Recorded {
  const { entityData, entityVersion } = (data ?? {}) as Partial<Recorded>;
  return entityData !== undefined && Number.isSafeInteger(entityVersion) && entityVersion! >= 0;
}

/**
 * Writes a snapshot, unless there is one by now that was not seen, or none can be written now.
 *
 * @returns The last snapshot's id, null for none; undefined where none can be written.
 */
export async function writeSnapshot(
  sql: Sql,
  snapshots: Snapshots,
  id: string,
  { state, version, messageId, messageGlobalPosition }: StateAt,
  seen: string | null,
): Promise<string | null | undefined> {
  const { name, type, coded } = placeOf(snapshots, id);
  const json = await encodeState(state, snapshots.schema);
  const entityData = snapshots.codec ? await snapshots.codec.encode(json, coded) : json;
  const data: Recorded = {
    entityData,
    entityVersion: version,
    messageId,
    messageGlobalPosition,
  };
  return await writeUnlessBusy(
    sql,
    name,
    encodeMessage({ type, data, metadata: coded.metadata }),
    seen,
  );
}

function placeOf({ category, version }: Snapshots, id: string): SnapshotPlace {
  const name = snapshotStream(category, id);
  // Each shape has a type of its own: programs of two versions do not pass over each other's.
  const type = `Recorded:${version}`;
  const metadata = { schemaVersion: String(version) };
  return { name, type, coded: { type, streamName: name, metadata, isSnapshot: true } };
}

async function encodeState(state: unknown, schema: StandardSchema | undefined): Promise<unknown> {
  if (schema === undefined) {
    checkRestorable(state);
    return state;
  }
  const encoded = await encodeShape({ schema }, state, "state");
  if (encoded.issues) {
    const words = encoded.issues.map(({ path, message }) =>
      [...path.map(String), message].join(": ")
    );
    throw new TypeError(
      `Cannot write a snapshot: its schema refuses the state: ${words.join("; ")}`,
    );
  }
  const restored = await decodeShape({ schema }, encoded.value);
  if (restored.issues || canonicalText(restored.value) !== canonicalText(state)) {
    throw new TypeError(
      "Cannot write a snapshot: its schema makes something else of the state: " +
        "it must leave nothing out and put nothing in",
    );
  }
  return encoded.value;
}

/** Checks that JSON brings back what there is: what is more than that takes a schema. */
export function checkRestorable(state: unknown): void {
  JSON.stringify(state, checkMember);
  stringify("state", state);
}

function checkMember(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const member = this[key];
  if (isRestorable(member)) return value;
  const kind = typeof member === "bigint" ? "a bigint" : Object.prototype.toString.call(member);
  throw new TypeError(
    `Cannot write a snapshot: "${key || "state"}" is ${kind}, which JSON does not bring back: ` +
      "give the snapshot a schema that does",
  );
}

/** Whether it is a list or an object as JSON makes them, or no object at all. */
function isRestorable(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return typeof value !== "bigint";
  if (Array.isArray(value)) return Object.keys(value).length === value.length;
  return isPlain(value) && Object.getPrototypeOf(value) !== null &&
    Object.getOwnPropertySymbols(value).length === 0 && typeof value["toJSON"] !== "function";
}
