import { storeFor } from "../handle/_store_for.ts";
import {
  headOf,
  type MessageRow,
  queryMessageFunction,
  queryMessages,
} from "../messages/_columns.ts";
import { type MaybeTyped, parserOf } from "../messages/_typed.ts";
import { checkName, checkOptions, checkPage, checkStreamName } from "../names/_check.ts";
import type { Sql } from "../types.ts";
import { readWhole } from "./_fitting.ts";
import type { ReadStreamOptions } from "./read_options.ts";

/**
 * Reads a stream as `readStream` does, and leaves the messages as the database has answered them. All options
 * are checked, the catalogue too.
 */
export async function readStreamRows(
  sql: Sql,
  streamName: string,
  options: ReadStreamOptions & MaybeTyped,
): Promise<MessageRow[]> {
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
  parserOf(options);
  const store = storeFor(sql, streamName);
  return await readWhole(
    `stream "${streamName}"`,
    Number(batchSize),
    position,
    (count, from) => queryStream(store, streamName, backward, condition, from, count),
    (row) => headOf(row).position + (backward ? -1 : 1),
  );
}

function queryStream(
  sql: Sql,
  streamName: string,
  backward: boolean,
  condition: string | null,
  position: string | null,
  batchSize: string,
): Promise<MessageRow[]> {
  // After the template, the rows get their columns. A limit by a `select` hides from the planner how few
  // messages are wanted: otherwise it may fetch and sort all that is left of the stream.
  if (condition === null) {
    if (!backward) {
      return queryMessages(sql)`
    select *
    from message_store.messages
    where stream_name = ${streamName}::text
      and position >= coalesce(${position}::text::bigint, 0)
    order by position
    limit (select ${batchSize}::text::bigint)`;
    }
    return queryMessages(sql)`
    select *
    from message_store.messages
    where stream_name = ${streamName}::text
      and position <= coalesce(${position}::text::bigint, 9223372036854775807)
    order by position desc
    limit (select ${batchSize}::text::bigint)`;
  }
  // queryMessageFunction puts the steps `caller` and `ours` before the template. `ours` sets the
  // search path, so the function must run after it: that is why the query selects from `ours` and
  // an argument contains `ours.nothing`, which is empty.
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
