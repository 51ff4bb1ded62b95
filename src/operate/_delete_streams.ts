import { queryJson, RESTORE_SETTINGS, SET_SETTINGS } from "../handle/_statement.ts";
import { IS_OWN_MESSAGE } from "../names/_own_streams.ts";
import type { Sql } from "../types.ts";

/** A stream to delete, and the version at which it was seen; undefined if any version will do. */
export interface StreamToDelete {
  readonly name: string;
  readonly version?: number;
}

/**
 * Deletes from streams what this library has written to them for itself, unless one of them has moved since it
 * was seen.
 *
 * @returns How many messages were deleted; null if a stream has moved, and nothing was deleted.
 */
export async function deleteOwnMessages(
  sql: Sql,
  streams: readonly StreamToDelete[],
): Promise<number | null> {
  return await queryJson<number | null>(sql, `${SET_SETTINGS},`, DELETE_OWN)`
  given as materialized (
    select it ->> 'name' as name, (it ->> 'version')::bigint as version
    from ours, json_array_elements(${JSON.stringify(streams)}::text::json) as it
  ),`;
}

// `locked` takes the locks of the streams' categories, in the order in which `writeStreams` takes them. Then
// Message DB's functions show what was committed until then, and the statement's own reads what was
// committed when it began. Where the two differ, the DELETE would leave something.
const DELETE_OWN = /* @__PURE__ */ `
  locked as materialized (
    select message_store.acquire_lock(category || '-')
    from (
      select message_store.category(name) as category
      from given
      group by message_store.category(name)
      order by message_store.hash_64(message_store.category(name))
    ) as ordered
  ),
  moved as materialized (
    select
    from
      (
        select
          name, version,
          coalesce(
            (
              select messages.position
              from message_store.messages
              where messages.stream_name = name
              order by messages.position desc
              limit 1
            ),
            -1
          ) as seen,
          coalesce(message_store.stream_version(name), -1) as current
        from given, (select count(*) from locked) as after
      ) as stream
    where current <> seen or current <> coalesce(version, current)
  ),
  deleted as (
    delete from message_store.messages
    where stream_name = any (array(select name from given))
      and not exists (select from moved)
      and (
        ${IS_OWN_MESSAGE}
      )
    returning global_position
  )${RESTORE_SETTINGS}(
  select
    case when exists (select from moved) then 'null' else count(*)::text end as json
  from deleted
) as complete`;
