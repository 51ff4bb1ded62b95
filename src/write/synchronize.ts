import { storeFor } from "../handle/_store_for.ts";
import { checkMessage } from "../messages/_check_message.ts";
import { encodeMessages, type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { TypedInput } from "../messages/catalogue.ts";
import { invalid } from "../lib/invalid.ts";
import {
  checkExpectedVersion,
  checkId,
  checkOptions,
  checkWritableStreamName,
} from "../names/_check.ts";
import { toColumns } from "../messages/_json.ts";
import { safeInteger } from "../messages/_columns.ts";
import { isPromise } from "../lib/promise.ts";
import { queryMessageStore } from "../handle/_statement.ts";
import { MessageMismatchError } from "../errors.ts";
import type { MessageInput, Sql } from "../types.ts";
import type { WriteOptions } from "./write.ts";

/** A message with an id. The id tells whether the stream has the message. */
export interface IdentifiedMessageInput extends MessageInput {
  /** A UUID. */
  readonly id: string;
}

/**
 * Writes the messages of a list that the stream does not have yet.
 *
 * The list is the whole stream as it should be, from position 0. The messages that the stream has must be
 * the beginning of the list, id by id; if they are not, nothing is written. A stream that is longer than the
 * list is as it should be. As depeche_db's `synchronize`, in one statement.
 *
 * @example Write what is new of an aggregate's events
 * ```ts
 * import { synchronize } from "@messagedb/client";
 *
 * const events = [
 *   { id: "6f5e0a5c-5d1a-4d0e-9d6c-2f3b8a1c7e90", type: "Opened" },
 *   { id: "0b1d6f3e-8a4c-4f6b-b1a7-5c2e9d8f7a61", type: "Closed" },
 * ];
 * await synchronize(sql, "account-123", events.slice(0, 1)); // writes Opened
 * await synchronize(sql, "account-123", events, { expectedVersion: 0 }); // writes Closed
 * ```
 *
 * @typeParam Input The messages of the catalogue in the option `messages`.
 * @param sql The handle; inside a transaction, the handle of the transaction.
 * @param streamName The stream: `"account-123"`.
 * @param messages The whole stream as it should be, each message with its id.
 * @param options The version that the stream must be at if there is something to write, and the catalogue.
 * @returns The version of the stream; `NO_STREAM` if the stream and the list are empty.
 * @throws {MessageMismatchError} If the stream holds another message at the place of one of these messages.
 * @throws {WrongExpectedVersionError} If there is something to write and the stream is not at the expected
 * version.
 * @throws {DuplicateMessageError} If the store has one of the messages in another place.
 * @throws {NotInstalledError} If the database has no Message DB, or the role has no right to use it.
 * @throws {InvalidMessageError} If a message does not fit its catalogue.
 * @throws {TypeError} If the name is not a stream name, an id is missing or not a UUID, or JSON cannot hold
 * the data.
 * @throws {RangeError} If the expected version is neither an integer from -1 up nor `STREAM_EXISTS`.
 */
export function synchronize<Input extends MessageInput>(
  sql: Sql,
  streamName: string,
  messages: readonly (NoInfer<Input> & Pick<IdentifiedMessageInput, "id">)[],
  options: WriteOptions & TypedInput<Input>,
): Promise<number>;
/** Writes the missing messages, of any type, with no catalogue in the options. */
export function synchronize(
  sql: Sql,
  streamName: string,
  messages: readonly IdentifiedMessageInput[],
  options?: WriteOptions,
): Promise<number>;
export async function synchronize(
  sql: Sql,
  streamName: string,
  messages: readonly IdentifiedMessageInput[],
  options: WriteOptions & MaybeTyped = {},
): Promise<number> {
  checkWritableStreamName(streamName);
  checkOptions(options, { expectedVersion: true, messages: true });
  const expectedVersion = checkExpectedVersion(options);
  if (!Array.isArray(messages)) throw invalid("messages", messages, "an array");
  for (const message of messages) {
    checkMessage(message);
    checkId(message.id);
  }
  const encoding = encodeMessages(messages, streamName, parserOf(options));
  const encoded = isPromise(encoding) ? await encoding : encoding;

  // `queryMessageStore` puts the steps `caller` and `ours` in front of the template. `ours` sets the search
  // path that Message DB's functions need. `locked` selects from `ours`, and every later step that needs the
  // path comes after `locked`.
  //
  // - `columns` is as in `queryAppend`, and so is `refused`, which raises the error of a wrong version.
  // - `seen`, `current` and `added` are as in `writeOnce`: `stored` is the stream as it is under the lock.
  // - `other` is the first message that differs from the list. If there is one, nothing is `missing`.
  // - `answer` counts `inserted`, so all inserts are done before the search path is put back.
  const { version, other } = await queryMessageStore<SynchronizeAnswer>(storeFor(sql, streamName))`
  message as materialized (
    select
      number - 1 as position, id::uuid, type,
      case when data <> 'null' then data end as data,
      case when metadata <> 'null' then metadata end as metadata
    from
      (select ${toColumns(encoded)}::text::jsonb as list offset 0) as columns,
      rows from (
        jsonb_array_elements_text(list -> 'id'), jsonb_array_elements_text(list -> 'type'),
        jsonb_array_elements(list -> 'data'), jsonb_array_elements(list -> 'metadata')
      ) with ordinality as message (id, type, data, metadata, number)
  ),
  seen as materialized (
    select coalesce(max(position), -1) as version
    from message_store.messages
    where stream_name = ${streamName}::text
  ),
  locked as materialized (
    select message_store.acquire_lock(${streamName}::text) from ours
  ),
  current as materialized (
    select coalesce(message_store.stream_version(${streamName}::text), -1) as version from locked
  ),
  added as materialized (
    select message_store.get_stream_messages(${streamName}::text, seen.version + 1, -1) as stored
    from seen, current
    where current.version > seen.version
  ),
  stored as materialized (
    select position, id from message_store.messages where stream_name = ${streamName}::text
    union all
    select (stored).position, (stored).id::uuid from added
  ),
  other as materialized (
    select message.position, message.id, stored.id as "actualId"
    from message join stored on stored.position = message.position
    where message.id <> stored.id
    order by message.position
    limit 1
  ),
  missing as materialized (
    select message.*, version
    from message, current
    where position > version and not exists (select from other)
  ),
  refused as materialized (
    select
      message_store.write_message(
        null, ${streamName}::text, null, null, null, ${expectedVersion}::text::bigint
      )
    from missing
    where version <> ${expectedVersion}::text::bigint
      and (version < 0 or ${expectedVersion}::text::bigint > -4)
    limit 1
  ),
  inserted as (
    insert into message_store.messages (id, stream_name, position, type, data, metadata)
    select id, ${streamName}::text, position, type, data, metadata
    from missing
    where not exists (select from refused)
    order by position
    returning position
  ),
  answer as materialized (
    select
      json_build_object(
        'version', version + (select count(*) from inserted),
        'other', (select row_to_json(other) from other)
      )::text as json
    from current
  )`;
  if (other) throw new MessageMismatchError(streamName, other.position, other.id, other.actualId);
  return safeInteger(version);
}

interface SynchronizeAnswer {
  readonly version: number;
  readonly other:
    | { readonly position: number; readonly id: string; readonly actualId: string }
    | null;
}
