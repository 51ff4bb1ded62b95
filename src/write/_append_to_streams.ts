import { storeFor } from "../handle/_store_for.ts";
import { DuplicateMessageError } from "../errors.ts";
import { queryMessageStore } from "../handle/_statement.ts";
import { invalid } from "../lib/invalid.ts";
import { isPromise } from "../lib/promise.ts";
import { type EncodedMessage, toColumns } from "../messages/_json.ts";
import type { Parser } from "../messages/_parser.ts";
import { encodeMessages } from "../messages/_typed.ts";
import { checkExpectedVersion, checkMembers, checkWritableStreamName } from "../names/_check.ts";
import type { Sql } from "../types.ts";
import type { StreamInput } from "./stream_input.ts";

/** The places of messages. The numbers may be beyond the safe integers. */
interface Places {
  /** The position of each stream's last message, in the order of the streams. */
  readonly positions: readonly number[];
  /** The global position of each message, in the order of the messages. */
  readonly globalPositions: readonly number[];
  /** When the messages were written, in milliseconds; null if the store had them already. */
  readonly time: number | null;
}

/** The messages of a stream as parameters. */
export interface EncodedStream {
  readonly streamName: string;
  readonly messages: readonly EncodedMessage[];
  readonly expectedVersion: string | null;
}

/**
 * Writes messages to several streams, all or none: what `writeStreams`, `writeBatch` and `append` are made
 * of.
 */
export async function appendToStreams(
  sql: Sql,
  streams: readonly StreamInput[],
  parser?: Parser,
): Promise<Places> {
  if (!Array.isArray(streams)) throw invalid("streams", streams, "an array");
  if (streams.length === 0) throw invalid("streams", streams, "not empty", RangeError);
  const names = new Set<string>();
  // All streams are encoded before the first promise is awaited: after that, the caller may have changed them.
  const encoding = Array.from(streams, (stream) => encodeStream(stream, names, parser));
  for (const stream of encoding) {
    if (isPromise(stream.messages)) stream.messages = await stream.messages;
  }
  const encoded = encoding as EncodedStream[];
  if (encoded.every(({ messages }) => messages.length === 0)) {
    throw invalid("messages", [], "not empty", RangeError);
  }
  return await appendEncoded(sql, encoded);
}

/** Writes messages that are parameters already. One of the streams has messages. */
export async function appendEncoded(sql: Sql, streams: readonly EncodedStream[]): Promise<Places> {
  const encoded: (EncodedMessage | null)[] = [];
  const streamNames: string[] = [];
  const expectedVersions: (string | null)[] = [];
  for (const { streamName, messages, expectedVersion } of streams) {
    for (const message of messages) encoded.push(message);
    // A stream that is only to be checked has a row, too.
    if (messages.length === 0) encoded.push(null);
    while (streamNames.length < encoded.length) {
      streamNames.push(streamName);
      expectedVersions.push(expectedVersion);
    }
  }
  const { known, unsure, positions, written: [time, globalPositions] } = await queryAppend(
    sql,
    encoded,
    streamNames,
    expectedVersions,
  );
  if (known !== null) {
    return placesOfRetry(encoded, streamNames, expectedVersions, known, positions);
  }
  // The messages get their global positions in their order, whatever the order of this list.
  if (unsure === null) {
    return { positions, globalPositions: globalPositions.sort((a, b) => a - b), time };
  }
  throw new Error(
    `Cannot check the version of stream "${unsure}" without a message for it: what the transaction ` +
      "sees may be older than the stream, unless its isolation level is READ COMMITTED",
  );
}

/** A stream whose messages may still be on their way to be parameters. */
interface EncodingStream extends Omit<EncodedStream, "messages"> {
  messages: ReturnType<typeof encodeMessages>;
}

/** Checks a stream, and converts its messages to parameters. */
function encodeStream(
  stream: StreamInput,
  names: Set<string>,
  parser: Parser | undefined,
): EncodingStream {
  checkMembers("stream", stream, { streamName: true, messages: true, expectedVersion: true });
  const expectedVersion = checkExpectedVersion(stream);
  const { streamName, messages } = stream;
  checkWritableStreamName(streamName);
  if (names.has(streamName)) throw invalid("streamName", streamName, "given once");
  names.add(streamName);
  if (!Array.isArray(messages)) throw invalid("messages", messages, "an array");
  if (messages.length === 0 && expectedVersion === null) {
    throw invalid("messages", messages, "not empty", RangeError);
  }
  const encoding = encodeMessages(messages, streamName, parser);
  // If a later stream is refused, nobody awaits this promise.
  if (isPromise(encoding)) encoding.catch(() => {});
  return { streamName, expectedVersion, messages: encoding };
}

function queryAppend(
  sql: Sql,
  messages: readonly (EncodedMessage | null)[],
  streamName: readonly string[],
  expectedVersion: readonly (string | null)[],
): Promise<AppendAnswer> {
  // `queryMessageStore` puts the steps `caller` and `ours` in front of the template. `ours` sets the search
  // path that Message DB's functions need. `locked` selects from `ours`, and every later step that needs the
  // path comes after `locked`.
  //
  // - `offset 0` keeps Postgres from merging `columns` into each list, and from parsing the text for each.
  // - `stream` has a row for each stream. `seen` in it, `current`, `added` and `known` are as in `writeOnce`,
  //   for many streams. The limit in `known` makes each look-up an index scan, however small the table was
  //   when the statement was planned.
  // - `unsure` are the streams that are only to be checked, if the isolation level hides what was written
  //   since the transaction began.
  // - -4 is STREAM_EXISTS: any version is right that is not below 0.
  // - `refused` makes `write_message` raise the error of a wrong version. The call has no type, so it could
  //   never write a message.
  // - `answer` needs all global positions, so all inserts are done before the search path is put back.
  return queryMessageStore<AppendAnswer>(storeFor(sql, ...new Set(streamName)))`
  message as materialized (
    select
      stream_name, expected_version::bigint, id::uuid, type,
      case when data <> 'null' then data end as data,
      case when metadata <> 'null' then metadata end as metadata, number
    from
      (select ${
    toColumns(messages, { streamName, expectedVersion })
  }::text::jsonb as list offset 0) as columns,
      rows from (
        jsonb_array_elements_text(list -> 'streamName'),
        jsonb_array_elements_text(list -> 'expectedVersion'),
        jsonb_array_elements_text(list -> 'id'), jsonb_array_elements_text(list -> 'type'),
        jsonb_array_elements(list -> 'data'), jsonb_array_elements(list -> 'metadata')
      ) with ordinality as message (stream_name, expected_version, id, type, data, metadata, number)
  ),
  stream as materialized (
    select
      stream_name, expected_version, min(number) as first, count(type) as size,
      (
        select coalesce(max(stored.position), -1)
        from message_store.messages as stored
        where stored.stream_name = message.stream_name
      ) as seen
    from message
    group by stream_name, expected_version
  ),
  locked as materialized (
    select *, message_store.acquire_lock(stream_name)
    from (
      select stream.* from stream, ours
      order by message_store.hash_64(message_store.category(stream_name))
    ) as ordered
  ),
  current as materialized (
    select *, coalesce(message_store.stream_version(stream_name), -1) as version from locked
  ),
  added as materialized (
    select message_store.get_stream_messages(stream_name, seen + 1, -1) as stored
    from current
    where version > seen
  ),
  known as materialized (
    select number, stored.stream_name, stored.position, stored.global_position
    from message, lateral (
      select * from message_store.messages where messages.id = message.id limit 1
    ) as stored
    union all
    select number, (stored).stream_name, (stored).position, (stored).global_position
    from message join added on (stored).id = message.id::text
  ),
  unsure as materialized (
    select stream_name
    from current
    where size = 0 and (version < 0 or expected_version > -4)
      and current_setting('transaction_isolation') !~~ 'read %'
  ),
  fresh as materialized (
    select * from current
    where not exists (select from known) and not exists (select from unsure)
  ),
  refused as materialized (
    select message_store.write_message(null, stream_name, null, null, null, expected_version)
    from fresh
    where expected_version <> version and (version < 0 or expected_version > -4)
  ),
  inserted as (
    insert into message_store.messages (id, stream_name, position, type, data, metadata)
    select id, fresh.stream_name, version + 1 + number - first, type, data, metadata
    from message join fresh on fresh.stream_name = message.stream_name
    where type is not null and not exists (select from refused)
    order by number
    returning global_position, time
  ),
  answer as materialized (
    select
      json_build_object(
        'known', (
          select json_agg(json_build_array(number, stream_name, position, global_position))
          from known
        ),
        'unsure', (select min(stream_name) from unsure),
        'positions', (select json_agg(version + size order by first) from current),
        'written', (
          select
            json_build_array(
              max(round(date_part('epoch', date_trunc('milliseconds', time)) * 1000)::bigint),
              json_agg(global_position)
            )
          from inserted
        )
      )::text as json
  )`;
}

/** What the statement answers. */
export interface AppendAnswer extends Pick<Places, "positions"> {
  /** When the messages were written, and their global positions; nulls if nothing was written. */
  readonly written: readonly [time: number, globalPositions: number[]];
  /** The messages that the store has already, with their numbers, counted from 1; null for none. */
  readonly known: KnownMessage[] | null;
  /** A stream that is only to be checked, but cannot be; null for none. */
  readonly unsure: string | null;
}

type KnownMessage = [number: number, streamName: string, position: number, globalPosition: number];

/**
 * The places of messages that the store has already, if it has all of them as they would be written.
 *
 * @param versions The versions of the streams now, of those that are only checked.
 */
export function placesOfRetry(
  encoded: readonly (Pick<EncodedMessage, "id"> | null)[],
  streamNames: readonly string[],
  expectedVersions: readonly (string | null)[],
  known: readonly KnownMessage[],
  versions: readonly number[],
): Places {
  const stored = new Map(known.map((message) => [message[0], message]));
  /** The position of each stream's last message so far. */
  const positions = new Map<string, number>();
  encoded.forEach((message, at) => {
    const streamName = streamNames[at]!;
    const expectedVersion = Number(expectedVersions[at]);
    const [, storedName, position] = message
      ? stored.get(at + 1) ?? []
      : [at, streamName, expectedVersion < -1 ? versions[positions.size] : expectedVersion];
    const before = positions.get(streamName);
    if (storedName !== streamName || before !== undefined && position !== before + 1) {
      throw new DuplicateMessageError(encoded[known[0]![0] - 1]!.id);
    }
    positions.set(streamName, position!);
  });
  const globalPositions = [...stored.values()].sort(([a], [b]) => a - b).map((message) =>
    message[3]
  );
  return { positions: [...positions.values()], globalPositions, time: null };
}
