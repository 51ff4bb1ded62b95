import { fromStored, type MaybeTyped, parserOf, type Typed } from "../messages/catalogue.ts";
import { invalid } from "../lib/invalid.ts";
import { checkConsumerGroup, checkInteger, checkPage } from "../names/_check.ts";
import { type Columns, columnsJson, decode, safe } from "../messages/_columns.ts";
import { type Extent, type Page, pageOf } from "./_page.ts";
import { type Place, timestampOf } from "./start_at.ts";
import { ask, type Statement, within } from "../handle/_statement.ts";
import { isCategory, streamName } from "../names/stream_name.ts";
import type { ConsumerGroup, Message, Sql } from "../types.ts";

/** Where an aggregate has its reference to a message. */
export interface Reference {
  /** The partition's stream: `"ledger-0"`. */
  readonly streamName: string;
  /** The place in the partition, from 0, without gaps. */
  readonly position: number;
  /** The reference's own global position: what a subscription to an aggregate goes by. */
  readonly globalPosition: number;
}

/**
 * A message that an aggregate refers to: as it is in its own stream, with the place of the reference.
 *
 * @typeParam Output The messages of the catalogue that is given as `messages`: a union that `type` tells apart.
 * @typeParam Data What you know `data` to be, without a catalogue; nothing checks it.
 */
export interface AggregatedMessage<Data = unknown> extends Message<Data> {
  /** Where the aggregate has it. */
  readonly reference: Reference;
}

/** A message of a catalogue, and where an aggregate has its reference to it. */
export type Aggregated<Output extends Message> = Output & Pick<AggregatedMessage, "reference">;

/** Options of `readAggregate`. */
export interface ReadAggregateOptions {
  /**
   * The partition to read.
   *
   * @default all partitions
   */
  readonly partition?: number | string | undefined;
  /**
   * Where to start, which is included: of a partition, the place in it, from 0; of all, a reference's
   * global position.
   *
   * @default the beginning
   */
  readonly position?: number | undefined;
  /**
   * How many messages to read at most, from 1.
   *
   * @default 1000
   */
  readonly batchSize?: number | undefined;
  /**
   * Only the partitions that are this member's share: those whose number leaves `member` when divided
   * by `size`; one that is no number, by the hash of its name. Not of a partition alone.
   */
  readonly consumerGroup?: ConsumerGroup | undefined;
}

/**
 * Reads an aggregate: the messages that it refers to, in its order, in one round trip.
 *
 * As depeche_db's `AggregatedStream.read` and its message store together. A message that was deleted
 * from the store by hand is left out.
 *
 * @example
 * ```ts
 * import { readAggregate } from "@messagedb/client";
 *
 * for (const { data, reference } of await readAggregate(sql, "ledger", { partition: 0 })) {
 *   console.log(reference.position, data);
 * }
 * ```
 *
 * @typeParam Output The messages of the catalogue that is given as `messages`: a union that `type` tells apart.
 * @typeParam Data What you know `data` to be, without a catalogue; nothing checks it.
 * @param sql The handle.
 * @param name The aggregate's name, which is the category of its partitions: `"ledger"`.
 * @param options Which partition, where to start, how many, whose.
 * @returns The messages; none where there are none.
 * @throws {InvalidMessageError} If a message does not fit the catalogue that is given as `messages`.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the name or the partition is none, or an option is of the wrong type.
 * @throws {RangeError} If the position, the batch size, the member or the group's size is out of range.
 */
export function readAggregate<Output extends Message>(
  sql: Sql,
  name: string,
  options: ReadAggregateOptions & Typed<Output>,
): Promise<Aggregated<Output>[]>;
export function readAggregate<Data = unknown>(
  sql: Sql,
  name: string,
  options?: ReadAggregateOptions,
): Promise<AggregatedMessage<Data>[]>;
export async function readAggregate(
  sql: Sql,
  name: string,
  options: ReadAggregateOptions & MaybeTyped = {},
): Promise<AggregatedMessage[]> {
  checkAggregateName("name", name);
  const { batchSize } = checkPage(options);
  const parser = parserOf(options);
  const { partition, position = 0, consumerGroup } = options;
  if (consumerGroup !== undefined) checkConsumerGroup(consumerGroup);
  if (partition !== undefined && consumerGroup !== undefined) {
    throw invalid("consumerGroup", consumerGroup, "left out where a partition is given");
  }
  const wanted = { name, position, batchSize: Number(batchSize), consumerGroup };
  const page = partition === undefined
    ? await readAggregatePage(sql, wanted)
    : await readPartition(sql, { ...wanted, partition: partitionStream(name, partition) });
  return await fromStored(page.messages, parser) as AggregatedMessage[];
}

export function checkAggregateName(option: string, name: unknown): asserts name is string {
  if (typeof name !== "string" || !isCategory(name) || !/^[^$:]/.test(name) || /:/.test(name)) {
    throw invalid(option, name, "a category without a type, which is the aggregate's own: ledger");
  }
}

export function checkPartition(partition: unknown): asserts partition is number | string {
  if (typeof partition === "number") checkInteger("partition", partition, 0);
  else if (typeof partition !== "string") throw invalid("partition", partition, "a number or text");
}

/** The stream of a partition. */
export function partitionStream(name: string, partition: unknown): string {
  checkPartition(partition);
  return streamName(name, String(partition));
}

/** Which references to read. */
export interface WantedOfAggregate {
  readonly name: string;
  readonly position: number;
  readonly batchSize: number;
  readonly types?: readonly string[] | undefined;
  readonly consumerGroup?: ConsumerGroup | undefined;
}

/** Reads a page of an aggregate, and how far that reaches. */
export async function readAggregatePage(sql: Sql, wanted: WantedOfAggregate): Promise<Page> {
  const { name, position, batchSize, types, consumerGroup } = wanted;
  const member = consumerGroup ? String(consumerGroup.member) : null;
  const size = consumerGroup ? String(consumerGroup.size) : null;
  // By coalesce() no share looks so small that sorting the whole of it would pay.
  const answer = await askReferences(sql)`
    where message_store.category(reference.stream_name) = ${name}::text
      and reference.global_position >= ${String(position)}::text::bigint
      and (
        ${size}::text is null
        or coalesce(
          case
            when message_store.id(reference.stream_name) ~ '^[0-9]{1,15}$'
              then mod(message_store.id(reference.stream_name)::bigint, ${size}::text::bigint)
            else mod(
              abs(message_store.hash_64(message_store.id(reference.stream_name))),
              ${size}::text::bigint
            )
          end = ${member}::text::bigint,
          false
        )
      )
    order by reference.global_position
    limit ${String(batchSize)}::text::bigint
  ),
  head as (
    select max(global_position) as position
    from message_store.messages
    where message_store.category(stream_name) = ${name}::text
  ),
  wanted as (
    select ${types === undefined ? null : JSON.stringify(types)}::text as types
  ),`;
  return pageOfReferences(answer, wanted);
}

async function readPartition(
  sql: Sql,
  wanted: WantedOfAggregate & { readonly partition: string },
): Promise<Page> {
  const { partition, position, batchSize } = wanted;
  const answer = await askReferences(sql)`
    where reference.stream_name = ${partition}::text
      and reference.position >= ${String(position)}::text::bigint
    order by reference.position
    limit ${String(batchSize)}::text::bigint
  ),
  head as (
    select null::bigint as position
  ),
  wanted as (
    select null::text as types
  ),`;
  return pageOfReferences(answer, wanted);
}

/** The global position of the first reference to a message that was written at a time or later. */
export async function firstReferenceSince(
  sql: Sql,
  { category }: Pick<Place, "category">,
  time: Date,
): Promise<number | null> {
  // Goes through the references in their order, up to the first; the limits make both index scans.
  return await ask<number | null>(sql)`
select
  coalesce(
    (
      select reference.global_position::text
      from message_store.messages as reference
      cross join lateral (
        select time
        from message_store.messages
        where messages.global_position =
          (reference.metadata->>'causationMessageGlobalPosition')::bigint
        limit 1
      ) as origin
      where message_store.category(reference.stream_name) = ${category}::text
        and coalesce(
          origin.time >= ${timestampOf(time)}::text::timestamptz at time zone 'utc',
          false
        )
      order by reference.global_position
      limit 1
    ),
    'null'
  ) as json`;
}

interface Answer extends Extent, Columns {
  /** The references' streams, positions and global positions. */
  readonly references: readonly [streamName: string, position: number, globalPosition: number][];
}

const PAGE = /* @__PURE__ */ columnsJson(`
    '"count":', (select count(*) from scanned),
    ',"last":', coalesce((select max(global_place)::text from scanned), 'null'),
    ',"head":', coalesce((select position::text from head), 'null'),
    ',"references":', coalesce(json_agg(json_build_array(partition, place, global_place)), '[]'), ','`);

/** Asks for messages by their references: which of those, is what follows. */
function askReferences(sql: Sql): Statement<Answer> {
  // The limit makes the look-up of each message an index scan.
  return (strings, ...parameters) =>
    ask<Answer>(sql)(
      within(
        strings,
        `
with
  scanned as materialized (
    select
      origin.*, reference.stream_name as partition, reference.position as place,
      reference.global_position as global_place
    from message_store.messages as reference
    cross join lateral (
      select *
      from message_store.messages
      where messages.global_position =
        (reference.metadata->>'causationMessageGlobalPosition')::bigint
      limit 1
    ) as origin`,
        `
  page as (
    select *
    from scanned
    where (select types from wanted) is null
      or type in (select json_array_elements_text((select types from wanted)::json))
    order by global_place
  )
select ${PAGE} as json
from page`,
      ),
      ...parameters,
    );
}

function pageOfReferences(
  answer: Answer,
  wanted: WantedOfAggregate,
): Page {
  const messages = decode(answer).map((message, at): AggregatedMessage => {
    const [streamName, position, globalPosition] = answer.references[at]!;
    const reference = {
      streamName,
      position: safe(position),
      globalPosition: safe(globalPosition),
    };
    return { ...message, reference };
  });
  return pageOf(messages, answer, wanted);
}
