import { fromStored, type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import {
  checkCategory,
  checkConsumerGroup,
  checkName,
  checkOptions,
  checkPage,
} from "../names/_check.ts";
import { queryMessageFunction } from "../messages/_columns.ts";
import type { ReadStreamOptions } from "./read_stream.ts";
import type { ConsumerGroup, Message, Sql } from "../types.ts";
import { readWhole } from "./_fitting.ts";
import { shareParameters } from "./_share.ts";

/** Options of `readCategory`: those of `readStream`, but with global positions, and two more. */
export interface ReadCategoryOptions extends ReadStreamOptions {
  /**
   * The global position to start at, which is included.
   *
   * @default 1, or the end when reading backward
   */
  readonly position?: number | undefined;
  /** Reads only messages whose `correlationStreamName` is a stream of this category. */
  readonly correlation?: string | undefined;
  /** Reads only the streams that are this member's share. */
  readonly consumerGroup?: ConsumerGroup | undefined;
}

/**
 * Reads messages of all streams of a category, in the order of their global positions.
 *
 * As Message DB's `get_category_messages`, and also backward. Writers of one category take turns,
 * so a message that was written by `write` never appears before messages that were read already.
 *
 * @example This process's half of the category
 * ```ts
 * import { readCategory } from "@messagedb/client";
 *
 * await readCategory(sql, "account", { position: 1, consumerGroup: { member: 0, size: 2 } });
 * ```
 *
 * @typeParam Output The messages of the catalogue in `messages`: a union that `type` tells apart.
 * @typeParam Data The type of `data`, if you read without a catalogue. Nothing checks it.
 * @param sql The handle.
 * @param category The category: `"account"`.
 * @param options Where to start (a global position, from 1), in which direction, how many, for
 * which member.
 * @returns The messages; an empty array if there are none.
 * @throws {ConditionNotActivatedError} If there is a condition and the server does not allow it.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 * @throws {TypeError} If the name is not a category's, or an option is of the wrong type.
 * @throws {InvalidMessageError} If a message does not fit the catalogue in `messages`.
 * @throws {RangeError} If the position, the batch size, the member or the group's size is out of
 * range.
 */
export function readCategory<Output extends Message>(
  sql: Sql,
  category: string,
  options: ReadCategoryOptions & Typed<Output>,
): Promise<Output[]>;
/** Reads messages without a catalogue: nothing checks `data`. */
export function readCategory<Data = unknown>(
  sql: Sql,
  category: string,
  options?: ReadCategoryOptions,
): Promise<Message<Data>[]>;
export async function readCategory(
  sql: Sql,
  category: string,
  options: ReadCategoryOptions & MaybeTyped = {},
): Promise<Message[]> {
  checkCategory("category", category);
  checkOptions(options, {
    position: true,
    batchSize: true,
    direction: true,
    condition: true,
    correlation: true,
    consumerGroup: true,
    messages: true,
  });
  const { position, batchSize, backward } = checkPage(options);
  const { condition = null, correlation = null, consumerGroup } = options;
  if (condition !== null) checkName("condition", condition);
  if (correlation !== null) checkCategory("correlation", correlation);
  if (consumerGroup !== undefined) checkConsumerGroup(consumerGroup);
  const parser = parserOf(options);
  const share = { correlation, condition, ...shareParameters(consumerGroup) };
  const messages = await readWhole(
    `category "${category}"`,
    Number(batchSize),
    position,
    (count, from) => queryCategory(sql, category, backward, share, from, count),
    (message) => message.globalPosition + (backward ? -1 : 1),
  );
  return await fromStored(messages, parser);
}

function queryCategory(
  sql: Sql,
  category: string,
  backward: boolean,
  { correlation, condition, member, size }: Readonly<
    Record<"correlation" | "condition" | "member" | "size", string | null>
  >,
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
      message_store.get_category_messages(
        ${category}::text || ours.nothing, ${position}::text::bigint, ${batchSize}::text::bigint,
        ${correlation}::text, ${member}::text::bigint, ${size}::text::bigint, ${condition}::text
      ) as message`;
  }
  if (condition !== null) {
    return queryMessageFunction(sql)`
    select message.*
    from
      ours,
      message_store.get_category_messages(
        ${category}::text || ours.nothing, 1, -1,
        ${correlation}::text, ${member}::text::bigint, ${size}::text::bigint, ${condition}::text
      ) as message
    where ${position}::text is null or message.global_position <= ${position}::text::bigint
    order by message.global_position desc
    limit ${batchSize}::text::bigint`;
  }
  // coalesce() hides the share from the planner. Otherwise the planner may expect so few messages
  // that it would fetch and sort all of them. The first condition needs `ours` before `category`.
  return queryMessageFunction(sql)`
    select *
    from message_store.messages
    where (select nothing from ours) is not null
      and message_store.category(stream_name) = ${category}::text
      and global_position <= coalesce(${position}::text::bigint, 9223372036854775807)
      and (
        ${correlation}::text is null
        or message_store.category(metadata ->> 'correlationStreamName') = ${correlation}::text
      )
      and (
        ${size}::text is null
        or coalesce(
          mod(
            abs(message_store.hash_64(split_part(message_store.id(stream_name), '+', 1))),
            ${size}::text::bigint
          ) = ${member}::text::bigint,
          false
        )
      )
    order by global_position desc
    limit ${batchSize}::text::bigint`;
}
