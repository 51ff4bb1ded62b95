import type { Codec } from "./_catalogue.ts";
import { encode, type EncodedMessage, stringify } from "./_json.ts";
import { decodeShape, encodeShape, isPlain, type StandardSchema } from "./_schema.ts";
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
}

/** A snapshot's data: by Eventide's names, and which message it is the state after. */
interface Recorded {
  readonly entityData: unknown;
  readonly entityVersion: number;
  readonly messageId: string;
}

/** The last snapshot's id, null for none, and what it says; undefined where that cannot be read. */
export async function readSnapshot(
  sql: Sql,
  snapshots: Snapshots,
  id: string,
): Promise<{ readonly id: string | null; readonly said?: StateAt }> {
  const { name, type, coded } = placeOf(snapshots, id);
  const message = await readLastMessage<Recorded>(sql, name, { type });
  if (message === null) return { id: null };
  const { entityData, entityVersion: version, messageId } = message.data;
  const { schema, codec } = snapshots;
  const unreadable = { id: message.id };
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
  return { id: message.id, said: { state, version, messageId } };
}

/**
 * Writes a snapshot, unless there is one by now that was not seen, or somebody is at it, or the role or
 * the transaction may only read.
 *
 * @returns The last snapshot's id; null where nothing can be written now.
 */
export async function writeSnapshot(
  sql: Sql,
  snapshots: Snapshots,
  id: string,
  { state, version, messageId }: StateAt,
  seen: string | null,
): Promise<string | null> {
  const { name, type, coded } = placeOf(snapshots, id);
  const json = await jsonOf(state, snapshots.schema);
  const entityData = snapshots.codec ? await snapshots.codec.encode(json, coded) : json;
  const data: Recorded = { entityData, entityVersion: version, messageId };
  return await writeUnlessBusy(sql, name, encode({ type, data, metadata: coded.metadata }), seen);
}

function placeOf({ category, version }: Snapshots, id: string) {
  const name = streamName(category, id, ["snapshot"]);
  // Each shape has a type of its own: programs of two versions do not pass over each other's.
  const type = `Recorded:${version}`;
  const metadata = { schemaVersion: String(version) };
  return { name, type, coded: { type, streamName: name, metadata } };
}

async function jsonOf(state: unknown, schema: StandardSchema | undefined): Promise<unknown> {
  if (schema === undefined) {
    checkRestorable(state);
    return state;
  }
  const { issues, ...encoded } = await encodeShape({ schema }, state, "state");
  if (issues === undefined) return (encoded as { value: unknown }).value;
  const words = issues.map(({ path, message }) => [...path.map(String), message].join(": "));
  throw new TypeError(`Cannot write a snapshot: its schema refuses the state: ${words.join("; ")}`);
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
 * Writes a message if the last one of its type is the one that was seen, where it can be written at all.
 *
 * Without waiting for the lock: who has another category's could wait for who waits for that.
 *
 * @returns The id of the last message of the type; null where nothing can be written now.
 */
export async function writeUnlessBusy(
  sql: Sql,
  streamName: string,
  { id, type, data, metadata }: EncodedMessage,
  seen: string | null,
): Promise<string | null> {
  return await askMessageStore<string | null>(sql)`
  free as materialized (
    select pg_try_advisory_xact_lock(
      message_store.hash_64(message_store.category(${streamName}::text))
    ) as is_free
    from ours
    where current_setting('transaction_read_only') = 'off'
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
    select coalesce(
      to_json(case when exists (select from written) then ${id}::text else (select id from last) end)::text,
      'null'
    ) as json
  )`;
}
