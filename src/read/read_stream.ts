import { fromStored, type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import { checkName, checkOptions, checkPage, checkStreamName } from "../names/_check.ts";
import { queryMessageFunction, queryMessages } from "../messages/_columns.ts";
import type { Direction, Message, Sql } from "../types.ts";
import { readWhole } from "./_fitting.ts";

/** Options of `readStream`. */
export interface ReadStreamOptions {
  /**
   * The position to start at, which is included.
   *
   * @default 0, or the end when reading backward
   */
  readonly position?: number | undefined;
  /**
   * How many messages to read at most, from 1. A batch arrives as one text. If it is more than a text
   * can hold (half a gigabyte in V8), it is read in several statements.
   *
   * @default 1000
   */
  readonly batchSize?: number | undefined;
  /**
   * The direction to read in.
   *
   * @default "forward"
   */
  readonly direction?: Direction | undefined;
  /**
   * A SQL condition on the columns of `messages`, as Message DB's `condition`. It is raw SQL by
   * design, so never build it from input. Names that are not Message DB's need their schema. The
   * server must allow conditions, by the setting `message_store.sql_condition`, which any session
   * can set.
   */
  readonly condition?: string | undefined;
}

/**
 * Reads messages of a stream, in the order of their positions.
 *
 * As Message DB's `get_stream_messages`, and also backward.
 *
 * @example The last ten, newest first
 * ```ts
 * import { readStream } from "@messagedb/client";
 *
 * await readStream(sql, "account-123", { direction: "backward", batchSize: 10 });
 * ```
 *
 * @typeParam Output The messages of the catalogue in `messages`: a union that `type` tells apart.
 * @typeParam Data The type of `data`, if you read without a catalogue. Nothing checks it.
 * @param sql The handle.
 * @param streamName The stream: `"account-123"`.
 * @param options Where to start, in which direction, how many.
 * @returns The messages; an empty array if the stream has none.
 * @throws {ConditionNotActivatedError} If there is a condition and the server does not allow it.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 * @throws {TypeError} If the name is not a stream's, or an option is of the wrong type.
 * @throws {InvalidMessageError} If a message does not fit the catalogue in `messages`.
 * @throws {RangeError} If the position or the batch size is out of range.
 */
export function readStream<Output extends Message>(
  sql: Sql,
  streamName: string,
  options: ReadStreamOptions & Typed<Output>,
): Promise<Output[]>;
/** Reads messages without a catalogue: nothing checks `data`. */
export function readStream<Data = unknown>(
  sql: Sql,
  streamName: string,
  options?: ReadStreamOptions,
): Promise<Message<Data>[]>;
export async function readStream(
  sql: Sql,
  streamName: string,
  options: ReadStreamOptions & MaybeTyped = {},
): Promise<Message[]> {
  checkStreamName(streamName);
  checkOptions(options, {
    position: true,
    batchSize: true,
    direction: true,
    condition: true,
    messages: true,
  });
  const { position, batchSize, backward } = checkPage(options);
  const { condition = null } = options;
  if (condition !== null) checkName("condition", condition);
  const parser = parserOf(options);
  const messages = await readWhole(
    `stream "${streamName}"`,
    Number(batchSize),
    position,
    (count, from) => queryStream(sql, streamName, backward, condition, from, count),
    (message) => message.position + (backward ? -1 : 1),
  );
  return await fromStored(messages, parser);
}

function queryStream(
  sql: Sql,
  streamName: string,
  backward: boolean,
  condition: string | null,
  position: string | null,
  batchSize: string,
): Promise<Message[]> {
  // queryMessageFunction puts the steps `caller` and `ours` before the template. `ours` sets the
  // search path, so the function must run after it: that is why the query selects from `ours` and
  // an argument contains `ours.nothing`, which is empty. After the template, the rows are turned
  // into JSON.
  if (!backward) {
    return queryMessageFunction(sql)`
    select message.*
    from
      ours,
      message_store.get_stream_messages(
        ${streamName}::text || ours.nothing, ${position}::text::bigint,
        ${batchSize}::text::bigint, ${condition}::text
      ) as message`;
  }
  if (condition !== null) {
    return queryMessageFunction(sql)`
    select message.*
    from
      ours,
      message_store.get_stream_messages(
        ${streamName}::text || ours.nothing, 0, -1, ${condition}::text
      ) as message
    where ${position}::text is null or message.position <= ${position}::text::bigint
    order by message.position desc
    limit ${batchSize}::text::bigint`;
  }
  return queryMessages(sql)`
    select *
    from message_store.messages
    where stream_name = ${streamName}::text
      and position <= coalesce(${position}::text::bigint, 9223372036854775807)
    order by position desc
    limit ${batchSize}::text::bigint`;
}
