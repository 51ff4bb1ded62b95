import type { Codec } from "./_catalogue.ts";
import { encode, type EncodedMessage, stringify } from "./_json.ts";
import { decodeShape, encodeShape, isPlain, type StandardSchema, textOf } from "./_schema.ts";
import { askMessageStore } from "./_statement.ts";
import { readLastMessage } from "./read_last_message.ts";
import { streamName } from "./stream_name.ts";
import type { Sql } from "./types.ts";

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
  const json = await jsonOf(state, snapshots.schema);
  const entityData = snapshots.codec ? await snapshots.codec.encode(json, coded) : json;
  const data: Recorded = {
    entityData,
    entityVersion: version,
    messageId,
    messageGlobalPosition,
  };
  return await writeUnlessBusy(sql, name, encode({ type, data, metadata: coded.metadata }), seen);
}

function placeOf({ category, version }: Snapshots, id: string) {
  const name = streamName(category, id, ["snapshot"]);
  // Each shape has a type of its own: programs of two versions do not pass over each other's.
  const type = `Recorded:${version}`;
  const metadata = { schemaVersion: String(version) };
  return { name, type, coded: { type, streamName: name, metadata, isSnapshot: true } };
}

async function jsonOf(state: unknown, schema: StandardSchema | undefined): Promise<unknown> {
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
  if (restored.issues || textOf(restored.value) !== textOf(state)) {
    throw new TypeError(
      "Cannot write a snapshot: its schema makes something else of the state: " +
        "it must leave nothing out and put nothing in",
    );
  }
  return encoded.value;
}

/** Checks that JSON brings back what there is: what is more than that takes a schema. */
export function checkRestorable(state: unknown): void {
  stringify("state", state);
  JSON.stringify(state, checkMember);
}

function checkMember(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const member = this[key];
  if (typeof member === "object" && member !== null && !Array.isArray(member) && !isPlain(member)) {
    const kind = Object.prototype.toString.call(member);
    throw new TypeError(
      `Cannot write a snapshot: "${key || "state"}" is ${kind}, which JSON does not bring back: ` +
        "give the snapshot a schema that does",
    );
  }
  return value;
}

/**
 * Writes a message if the last one of its type is the one that was seen.
 *
 * Without waiting for the lock: who has another category's could wait for who waits for that. And only
 * where it cannot fail, since it would fail for what it is to be of use to: not in a transaction that
 * only reads, nor by a role that may only read, nor where what was written since cannot be seen, which
 * would be a conflict.
 *
 * @returns The id of the last message of the type, null for none; undefined where it could not be written.
 */
export async function writeUnlessBusy(
  sql: Sql,
  streamName: string,
  { id, type, data, metadata }: EncodedMessage,
  seen: string | null,
): Promise<string | null | undefined> {
  const last = await askMessageStore<{ readonly id: string | null } | null>(sql)`
  free as materialized (
    select pg_try_advisory_xact_lock(
      message_store.hash_64(message_store.category(${streamName}::text))
    ) as is_free
    from ours
    where current_setting('transaction_read_only') = 'off'
      and current_setting('transaction_isolation') in ('read committed', 'read uncommitted')
      and has_table_privilege('message_store.messages', 'insert')
  ),
  last as materialized (
    select (message_store.get_last_stream_message(${streamName}::text, ${type}::text)).id as id
    from free
    where is_free
  ),
  written as materialized (
    select
      message_store.write_message(
        ${id}::text, ${streamName}::text, ${type}::text, ${data}::text::jsonb, ${metadata}::text::jsonb
      ) as position
    from free
    where is_free
      and (select id from last) is not distinct from ${seen}::text
  ),
  answer as materialized (
    select
      case
        when exists (select from written) then json_build_object('id', ${id}::text)::text
        when exists (select from free where is_free)
          then json_build_object('id', (select id from last))::text
        else 'null'
      end as json
  )`;
  return last === null ? undefined : last.id;
}
