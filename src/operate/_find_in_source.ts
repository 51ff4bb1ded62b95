import type { Identity } from "./_whole_consumer.ts";
import { queryMessageStore } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";

/** Where a message is among those that a consumer reads. */
export interface FoundInSource {
  readonly streamName: string;
  readonly type: string;
  /** Its global position, or that of the aggregate's reference to it; null if it is not in the source. */
  readonly place: number | null;
  /** The member of the group that reads it; null for none, or without a group. */
  readonly member: number | null;
}

/** Finds a message in the source of a consumer; null if the store does not have it. */
export async function findInSource(
  sql: Sql,
  { source, group }: Identity,
  id: string,
): Promise<FoundInSource | null> {
  const aggregate = typeof source === "object" ? source.aggregate : null;
  const category = typeof source === "object" || source === "$all" ? null : source;
  const size = group === undefined ? null : String(group.size);
  // `queryMessageStore` puts the steps `caller` and `ours` in front of the template. The share of a member is
  // as in Message DB's `get_category_messages`, and for an aggregate as in `readAggregatePage`.
  return await queryMessageStore<FoundInSource | null>(sql)`
  asked as materialized (
    select
      ${category}::text as category, ${aggregate}::text as aggregate, ${size}::text::bigint as size
    from ours
  ),
  stored as materialized (
    select stream_name, type, global_position
    from message_store.messages
    where id = ${id}::text::uuid
  ),
  carrier as materialized (
    select stream_name, global_position, abs(message_store.hash_64(
        message_store.cardinal_id(stream_name)
      )) as share
    from stored, asked
    where (select nothing from ours) is not null
      and aggregate is null
      and (category is null or message_store.category(stream_name) = category)
    union all
    select
      stream_name, global_position,
      case
        when message_store.id(stream_name) ~ '^[0-9]{1,15}$' then message_store.id(stream_name)::bigint
        else abs(message_store.hash_64(message_store.id(stream_name)))
      end
    from (
      select reference.stream_name, reference.global_position
      from message_store.messages as reference
      where (select nothing from ours) is not null
        and message_store.category(reference.stream_name) = (select aggregate from asked)
        and message_store.category(reference.stream_name) >= (select aggregate from asked)
        and message_store.category(reference.stream_name) <= (select aggregate from asked)
        and reference.global_position > (select global_position from stored)
        and reference.metadata ->> 'causationMessageGlobalPosition' =
          (select global_position::text from stored)
      order by reference.global_position
      limit 1
    ) as reference
  ),
  answer as materialized (
    select
      coalesce(
        max((
          select
            json_build_object(
              'streamName', stored.stream_name, 'type', stored.type,
              'place', (select global_position from carrier),
              'member', (select case when size = 1 then 0 else mod(share, size) end from carrier, asked)
            )::text
          from stored
        )),
        'null'
      ) as json
    from asked
  )`;
}
