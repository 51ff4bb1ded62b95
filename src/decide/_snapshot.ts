import { type Codec, type CodedMessage, FORGOTTEN } from "../messages/codec.ts";
import { encodeMessage, stringify } from "../messages/_json.ts";
import { canonicalText, isPlain } from "../lib/plain.ts";
import { decodeShape, encodeShape } from "../messages/_shape.ts";
import type { StandardSchema } from "../messages/schema.ts";
import { writeUnlessBusy } from "../write/_write_unless_busy.ts";
import { readLastMessage } from "../read/read_last_message.ts";
import { snapshotStream } from "../names/_own_streams.ts";
import type { Message, Sql } from "../types.ts";

/** How the snapshots of an entity are kept. */
export interface Snapshots {
  readonly category: string;
  readonly every: number;
  /** The version of the state's shape. */
  readonly versionOf: () => Promise<string>;
  readonly schema: StandardSchema | undefined;
  readonly codec: Codec | undefined;
}

/** A state, and the last message that was folded into it. */
export interface StateAt {
  readonly state: unknown;
  /** Its id alone is not enough: a message of the same id may be written again, at a new global position. */
  readonly last: Pick<Message, "id" | "position" | "globalPosition">;
}

/** The last snapshot of an entity. */
export interface LastSnapshot {
  readonly id: string;
  /** Undefined if the snapshot cannot be read. */
  readonly stateAt: StateAt | undefined;
}

/** The last snapshot that is known: its id, null for none, and the version of its state. */
export interface KnownSnapshot {
  readonly id: string | null;
  readonly version: number;
}

/** The data of a snapshot: Eventide's names, then the message that was folded last. */
interface Recorded {
  readonly entityData: unknown;
  readonly entityVersion: number;
  readonly messageId: string;
  readonly messageGlobalPosition: number;
}

/** Reads the last snapshot of an entity; null for none. */
export async function readSnapshot(
  sql: Sql,
  snapshots: Snapshots,
  id: string,
): Promise<LastSnapshot | null> {
  const header = await headerOf(snapshots, id);
  const message = await readLastMessage(sql, header.streamName, { type: header.type });
  return message && {
    id: message.id,
    stateAt: await decodeState(snapshots, message.data, header),
  };
}

/**
 * Writes a snapshot, if enough messages have come after the known one.
 *
 * It is not written if the stream has another last snapshot than the known one, or if `writeUnlessBusy`
 * cannot write.
 *
 * @returns The last snapshot that is known now.
 */
export async function storeSnapshot(
  sql: Sql,
  snapshots: Snapshots,
  id: string,
  { state, last }: StateAt,
  known: KnownSnapshot,
): Promise<KnownSnapshot> {
  const version = last.position;
  if (version - known.version < snapshots.every) return known;
  const header = await headerOf(snapshots, id);
  const { codec } = snapshots;
  const encoded = await encodeState(state, snapshots.schema);
  const data: Recorded = {
    entityData: codec ? await codec.encode(encoded, header) : encoded,
    entityVersion: version,
    messageId: last.id,
    messageGlobalPosition: last.globalPosition,
  };
  const message = encodeMessage({ type: header.type, data, metadata: header.metadata });
  const lastId = await writeUnlessBusy(sql, header.streamName, message, known.id);
  // The version counts even if nothing was written: a cached state tries again after as many messages.
  return { id: lastId === undefined ? known.id : lastId, version };
}

/** The stream, the type and the metadata of an entity's snapshots. */
async function headerOf({ category, versionOf }: Snapshots, id: string): Promise<CodedMessage> {
  const version = await versionOf();
  return {
    streamName: snapshotStream(category, id),
    // Each version has a type of its own: programs of two versions do not replace each other's snapshots.
    type: `Recorded:${version}`,
    metadata: { schemaVersion: version },
    isSnapshot: true,
  };
}

/** Decodes the data of a snapshot; undefined if that is not possible. */
async function decodeState(
  { schema, codec }: Snapshots,
  data: unknown,
  header: CodedMessage,
): Promise<StateAt | undefined> {
  const { entityData, entityVersion, messageId, messageGlobalPosition } = (data ?? {}) as Recorded;
  // Anybody can write to this stream. That the entity has this message is checked by fetchEntity().
  if (entityData === undefined || !Number.isSafeInteger(entityVersion) || entityVersion < 0) {
    return undefined;
  }
  let state: unknown = entityData;
  try {
    if (codec) state = await codec.decode(entityData, header);
  } catch {
    // The key of the codec may be gone. The messages then make the remaining state, or fail in the same way.
    return undefined;
  }
  if (state === FORGOTTEN) return undefined;
  if (schema !== undefined) {
    const decoded = await decodeShape({ schema }, state);
    if (decoded.issues) return undefined;
    state = decoded.value;
  }
  const last = { id: messageId, position: entityVersion, globalPosition: messageGlobalPosition };
  return { state, last };
}

/** The state as a snapshot holds it. Throws if a snapshot could not bring it back. */
export async function encodeState(
  state: unknown,
  schema: StandardSchema | undefined,
): Promise<unknown> {
  if (schema === undefined) {
    checkRestorable(state);
    return state;
  }
  const encoded = await encodeShape({ schema }, state, "state");
  if (encoded.issues) {
    const words = encoded.issues.map(({ path, message }) =>
      [...path, message].map(String).join(": ")
    );
    throw new TypeError(
      `Cannot write a snapshot: its schema refuses the state: ${words.join("; ")}`,
    );
  }
  if (canonicalText(encoded.read) !== canonicalText(state)) {
    throw new TypeError(
      "Cannot write a snapshot: its schema makes something else of the state: " +
        "it must leave nothing out and put nothing in",
    );
  }
  return encoded.value;
}

/** Checks that JSON brings back the state as it is: otherwise snapshots need a schema. */
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

/** Whether it is a list or an object as JSON makes them, or a value that is no object and no bigint. */
function isRestorable(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return typeof value !== "bigint";
  if (Array.isArray(value)) return Object.keys(value).length === value.length;
  return isPlain(value) && Object.getPrototypeOf(value) !== null &&
    Object.getOwnPropertySymbols(value).length === 0 && typeof value["toJSON"] !== "function";
}
