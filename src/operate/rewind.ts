import { storeFor } from "../handle/_store_for.ts";
import type { ConsumerIdentity } from "../consume/consumer.ts";
import { queryMessageStore } from "../handle/_statement.ts";
import { randomUuid } from "../lib/random_uuid.ts";
import { safeInteger } from "../messages/_columns.ts";
import { groupStream, positionStream } from "../names/_own_streams.ts";
import { checkStartAt } from "../read/_first_since.ts";
import type { StartAt } from "../read/start_at.ts";
import { readerOf } from "../subscribe/_reader.ts";
import type { Sql } from "../types.ts";
import { retryConflicts } from "./_retry_conflicts.ts";
import { beyondEnd, checkWhole, type Identity, noPosition } from "./_whole_consumer.ts";

/**
 * Sets the position of a consumer, back or forward: the consumer goes on from there, as a process that
 * starts does. A running consumer notices it with its next poll.
 *
 * The position of each member is set, of every size that the consumer's group has had, in one statement and
 * under the lock that writers of positions take. So no position that is stored at the same time comes
 * between. Who holds a member goes on holding it.
 *
 * Messages that are handled again have their effects again, unless the handler knows what it has done.
 * Parked messages stay parked: discard those that the consumer meets again. `planRewind` tells beforehand how many
 * messages are handled again, or never.
 *
 * @example Handle everything again
 * ```ts
 * import { drain } from "@messagedb/client";
 * import { rewind } from "@messagedb/client/operate";
 *
 * const balances = { category: "account", consumerId: "balances", handle: () => {} };
 * await drain(sql, balances);
 * await rewind(sql, balances, "beginning"); // 1
 * ```
 *
 * @param sql The handle.
 * @param consumer The consumer's names. `consumerGroup` may be there, without `member`: the whole consumer
 * is rewound, because the members of a group of another size go on from the positions of this one.
 * @param position The global position of the first message to handle; `"beginning"`; `"end"`, after all
 * messages that are there; or a `Date`, for the first message that was written then or later. For an
 * aggregate's consumer, a position is that of a reference.
 * @returns The global position from which the consumer goes on.
 * @throws {RangeError} If the position is below 0, or after the end of the store.
 * @throws {TypeError} If the consumer's names are invalid, a member is named, or the position is of the wrong
 * type.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {Error} If the store has no position of the consumer.
 */
export async function rewind(
  sql: Sql,
  consumer: ConsumerIdentity,
  position: StartAt,
): Promise<number> {
  const identity = checkWhole(consumer);
  const store = storeFor(sql, identity.category);
  checkStartAt(position, "position");
  const first = Math.max(await readerOf(store, identity.source, {}).start(position), 1);
  const record = () => recordEverywhere(store, identity, first - 1);
  const { streams, head } = await retryConflicts(record);
  const end = safeInteger(head + 1);
  if (first > end) throw beyondEnd(identity, first, end);
  if (streams === 0) throw noPosition("rewind", identity);
  return first;
}

/** Records a position for the consumer and all members that it has had, unless the store ends before. */
async function recordEverywhere(
  sql: Sql,
  identity: Identity,
  position: number,
): Promise<{ readonly streams: number; readonly head: number }> {
  // `queryMessageStore` puts the steps `caller` and `ours` in front of the template.
  //
  // - `locked` takes the locks of the positions and of the sizes, in the order in which `writeStreams` takes
  //   them. Each later step that calls a function comes after it, and those functions see what was committed
  //   until then. So neither a position nor a size is missed.
  // - `last` are the last messages. The consumer itself counts only if it has recorded a position, and a
  //   member in any case: a size of which a member lacks a position is no bound for the others.
  // - `known` is there if the statement was sent twice and has been done. `offset 0` keeps PostgreSQL from reading the
  //   ids of all messages into a hash: it expects thousands of members.
  return await queryMessageStore<{ streams: number; head: number }>(sql)`
  asked as materialized (
    select
      ${positionStream(identity)}::text as plain, ${groupStream(identity)}::text as sizes,
      ${String(position)}::text::bigint as place, ${randomUuid()}::text as key,
      (select coalesce(max(global_position), 0) from message_store.messages) as head
    from ours
  ),
  locked as materialized (
    select message_store.acquire_lock(name)
    from (
      select name
      from (
        select plain as name from asked where place <= head
        union all
        select sizes from asked where place <= head
      ) as streams
      order by message_store.hash_64(message_store.category(name))
    ) as ordered
  ),
  sized as materialized (
    select size::int
    from (
      select (message).data::jsonb ->> 'size' as size
      from (
        select message_store.get_stream_messages(sizes, 0, -1) as message
        from asked, (select count(*) from locked) as after
      ) as stored
      where (message).type = 'Sized'
    ) as given
    where size ~ '^[0-9]{1,5}$'
    group by size
  ),
  last as materialized (
    select
      name, md5(key || name)::uuid as id, name = plain as is_plain,
      (select message_store.get_last_stream_message(name)) as message
    from (
      select plain as name, plain, key from asked, (select count(*) from sized) as after
      union all
      select plain || '+' || member::text || '+' || size::text, plain, key
      from asked, sized, generate_series(0, size - 1) as member
    ) as stream
  ),
  known as materialized (
    select
    from last
    where (message).id = id::text
      or exists (select from message_store.messages where messages.id = last.id offset 0)
  ),
  recorded as materialized (
    select
      message_store.write_message(
        id::text, name, 'Recorded', json_build_object('position', place)::jsonb,
        jsonb_set(
          case
            when jsonb_typeof((message).metadata::jsonb) = 'object' then (message).metadata::jsonb
            else '{}'::jsonb
          end,
          '{reset}'::text[], 'true'::jsonb
        )
      )
    from asked, last
    where place <= head
      and ((message).id is not null or not is_plain)
      and not exists (select from known)
  ),
  answer as materialized (
    select
      json_build_object(
        'streams', (select count(*) from recorded) + (select count(*) from known),
        'head', (select head from asked)
      )::text as json
  )`;
}
