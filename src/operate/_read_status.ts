import { queryJson, RESTORE_SETTINGS, SET_SETTINGS } from "../handle/_statement.ts";
import { DISTRIBUTION } from "../read/_distribution.ts";
import { eachCategory } from "../read/_each_category.ts";
import { isOfCategory } from "../names/_of_category.ts";
import type { Sql } from "../types.ts";
import { FINITE_MILLISECONDS } from "./_date_or_null.ts";
import type { CategoryStatus, MessageCount, StoreStatus } from "./status.ts";

/** What a statement of `storeStatus` answers. Times are in milliseconds. */
export interface StoredStatus extends Omit<StoreStatus, "messages" | "categories" | "partition"> {
  readonly messages: Omit<MessageCount, "firstAt" | "lastAt"> & {
    readonly firstAt: number | null;
    readonly lastAt: number | null;
  };
  readonly categories: readonly (Omit<CategoryStatus, "firstAt" | "lastAt"> & {
    readonly firstAt: number | null;
    readonly lastAt: number | null;
  })[];
  /** The comment of the sequence. */
  readonly mark: string | null;
}

export const SETTINGS_JSON = /* @__PURE__ */ [
  "fsync",
  "synchronous_commit",
  "full_page_writes",
  "synchronous_standby_names",
  "statement_timeout",
  "lock_timeout",
  "idle_in_transaction_session_timeout",
  "transaction_timeout",
  "default_transaction_isolation",
  "max_connections",
  "server_encoding",
  "message_store.sql_condition",
].map((name) => `'${name}', current_setting('${name}', true)`).join(",\n        ");

const MESSAGES = "'message_store.messages'::regclass";

const STATUS_STEPS = `
  categories as materialized (${/* @__PURE__ */ eachCategory()}
  ),
  sampled as materialized (
    select category, count(*) as count
    from (
      select split_part(stream_name, '-', 1) as category
      from message_store.messages
        tablesample pg_catalog.system ((select share::float4 from part)) repeatable (0)
      where (select share = 100 from part)
        or mod(hashint8(global_position), 4) = 0
    ) as messages
    group by category
  ),
  scale as materialized (
    select
      share = 100 as is_whole,
      coalesce(
        expected operator(pg_catalog./) (select sum(count) from sampled)::float8,
        case when share = 100 then 1 else 400 operator(pg_catalog./) share end
      ) as factor
    from part
  ),
  counted as materialized (
    select
      categories.category, last.global_position,
      first.milliseconds as first_time, last.milliseconds as last_time,
      case
        when is_whole or few < 1000 then few
        when estimate > 1000 then estimate
        else 1000
      end as count,
      not is_whole and few = 1000 as is_estimate
    from scale
    cross join categories
    left join sampled on sampled.category = categories.category
    cross join lateral (
      select ${FINITE_MILLISECONDS} as milliseconds
      from message_store.messages
      where ${isOfCategory("categories.category")}
      order by global_position
      limit 1
    ) as first
    cross join lateral (
      select global_position, ${FINITE_MILLISECONDS} as milliseconds
      from message_store.messages
      where ${isOfCategory("categories.category")}
      order by global_position desc
      limit 1
    ) as last
    cross join lateral (
      select round(coalesce(sampled.count, 0) operator(pg_catalog.*) factor) as estimate
    ) as estimated
    cross join lateral (
      select case
        when is_whole then coalesce(sampled.count, 0)
        when estimate > 10000 then 1000
        else (
          select count(*)
          from (
            select
            from message_store.messages
            where ${isOfCategory("categories.category")}
            order by global_position
            limit (select 1000)
          ) as first
        )
      end as few
      offset 0
    ) as small
  ),
  locks as materialized (
    select
      concat_ws(' ', virtualtransaction, pid) as holder, pid, locktype, granted, transactionid,
      (classid::bigint << 32) | objid::bigint as key
    from pg_catalog.pg_locks
    where locktype = 'transactionid' and pid is null
      or database = (select oid from pg_catalog.pg_database where datname = current_database())
        and (
          locktype = 'advisory' and objsubid = 1
          or locktype = 'relation' and mode = 'RowExclusiveLock'
            and relation = ${MESSAGES}::oid
        )
  ),
  category_locks as materialized (
    select holder, pid, granted, category, key
    from locks
    join categories on key = left('x' || md5(category), 17)::bit(64)::bigint
    where locktype = 'advisory'
  ),
  holders as (
    select
      holding.pid, gid as prepared, coalesce(usename, two_phase.owner)::text as user_name,
      application_name, state,
      (
        date_part('epoch', clock_timestamp())
          - date_part('epoch', coalesce(xact_start, two_phase.prepared))
      ) * 1000 as age,
      exists (
        select
        from locks
        where locks.holder = holding.holder and locktype = 'relation' and granted
      ) as holds_all,
      coalesce(held, '[]') as categories,
      (
        select count(*)
        from category_locks as waiting
        where not waiting.granted and waiting.key = any (keys)
      ) as waiting
    from (
      select holder, pid from locks where granted and locktype = 'relation'
      union
      select holder, pid from category_locks where granted
    ) as holding
    left join pg_catalog.pg_stat_activity as activity on activity.pid = holding.pid
    left join locks as named
      on named.holder = holding.holder and named.locktype = 'transactionid' and named.granted
    left join pg_catalog.pg_prepared_xacts as two_phase
      on two_phase.transaction = named.transactionid
    cross join lateral (
      select
        json_agg(category order by category collate pg_catalog."C") as held,
        pg_catalog.array_agg(key) as keys
      from category_locks
      where category_locks.holder = holding.holder and granted
    ) as own
    where holding.pid is null or holding.pid <> pg_backend_pid()
  ),
  indexes as materialized (
    select
      coalesce(relname::text, expected.name) as name,
      case
        when indexrelid is null then 'missing'
        when indisvalid and indisready and (indisunique or not coalesce(is_unique, false)) then 'valid'
        else 'invalid'
      end as state,
      coalesce(pg_relation_size(indexrelid), 0) as size
    from (
      select indexrelid, relname, indisvalid, indisready, indisunique
      from pg_catalog.pg_index
      join pg_catalog.pg_class on pg_class.oid = indexrelid
      where indrelid = ${MESSAGES}::oid
    ) as made
    full join (
      select 'messages_id' as name, true as is_unique
      union all
      select 'messages_stream', true
      union all
      select 'messages_category', false
    ) as expected on expected.name = relname::text
  )`;

const STATUS_JSON = `
  select json_build_object(
    'version', (
      select substring(prosrc, '\'\'([0-9.]+)\'\'')
      from pg_catalog.pg_proc
      where proname::text = 'message_store_version'
        and pronamespace = 'message_store'::regnamespace::oid
    ),
    'serverVersion', current_setting('server_version'),
    'isStandby', pg_is_in_recovery(),
    'messages', json_build_object(
      'count', coalesce((select sum(count) from counted), 0),
      'isEstimate', coalesce((select bool_or(is_estimate) from counted), false),
      'lastGlobalPosition', coalesce(last.global_position, 0),
      'firstAt', first.milliseconds,
      'lastAt', last.milliseconds
    ),
    'size', json_build_object(
      'table', pg_table_size(${MESSAGES}), 'indexes', pg_indexes_size(${MESSAGES})
    ),
    'categories', coalesce((
      select json_agg(json_build_object(
        'category', category, 'count', count, 'isEstimate', is_estimate,
        'lastGlobalPosition', global_position, 'firstAt', first_time, 'lastAt', last_time
      ) order by category collate pg_catalog."C")
      from counted
    ), '[]'),
    'indexes', (
      select json_agg(
        json_build_object('name', name, 'state', state, 'size', size)
        order by name collate pg_catalog."C"
      )
      from indexes
    ),
    'install', json_build_object(
      'notify', exists (
        select
        from pg_catalog.pg_trigger
        where tgrelid = ${MESSAGES}::oid
          and tgname::text = 'messages_notify'
          and tgenabled::text = any (string_to_array('O A', ' '))
      ),
      'nameIndex', exists (
        select from indexes where name = 'messages_names' and state = 'valid'
      )
    ),
    'distribution', ${DISTRIBUTION},
    'mark', obj_description(
      to_regclass('message_store.messages_global_position_seq')::oid, 'pg_class'
    ),
    'settings', json_build_object(
        'TimeZone', (select zone from caller),
        ${SETTINGS_JSON}
    ),
    'transactions', coalesce((
      select json_agg(json_build_object(
        'pid', pid, 'prepared', prepared, 'user', user_name, 'applicationName', application_name,
        'state', state, 'age', age, 'holdsAll', holds_all, 'categories', categories,
        'waiting', waiting
      ) order by age desc nulls last)
      from holders
    ), '[]'),
    'sequence', (
      select json_build_object(
        'last', coalesce(value, 0),
        'isBehind', coalesce(last.global_position > coalesce(value, 0), false)
      )
      from (
        select pg_sequence_last_value(oid::regclass) as value
        from (
          select oid
          from pg_catalog.pg_class
          where oid = to_regclass('message_store.messages_global_position_seq')::oid
            and relkind::text = 'S'
          offset 0
        ) as made
        where has_sequence_privilege(oid, 'select') or has_sequence_privilege(oid, 'usage')
      ) as sequence
    )
  )::text as json
  from (select) as nothing
  left join lateral (
    select global_position, ${FINITE_MILLISECONDS} as milliseconds
    from message_store.messages
    order by global_position desc
    limit 1
  ) as last on true
  left join lateral (
    select ${FINITE_MILLISECONDS} as milliseconds
    from message_store.messages
    order by global_position
    limit 1
  ) as first on true`;

/**
 * Reads what `storeStatus` tells.
 *
 * - `part` says which percentage of the table to read for an estimate: all of a table up to 16 MB. What PostgreSQL
 *   knows of the table corrects the estimate, if the table was ever analyzed.
 * - `sampled` counts every fourth message of the part: messages of a category are often side by side, so more pages tell
 *   more than more messages of a page. By the same seed and hash, the next look has the same pages and messages, and so
 *   an estimate changes only as the store does. Message DB's `category` would take most of the time.
 * - `counted` counts up to 1,000 messages of a category by the index if few of them are in the part. `offset 0` is there
 *   because PostgreSQL would else count them again wherever the count is named.
 * - `locks` has the locks that writers hold: of the table, and of the hash of each category. A prepared transaction has no
 *   process, and its name is found by its transaction id.
 */
export async function readStatus(sql: Sql): Promise<StoredStatus> {
  return await queryJson<StoredStatus>(
    sql,
    `${SET_SETTINGS},`,
    `${STATUS_STEPS}${RESTORE_SETTINGS}(${STATUS_JSON}
) as complete`,
  )`
  part as materialized (
    select
      case when size <= 16000000 then 100 else 1600000000::float8 operator(pg_catalog./) size end as share,
      case
        when reltuples > 0 and relpages > 0
          then reltuples operator(pg_catalog./) relpages operator(pg_catalog.*) size
            operator(pg_catalog./) current_setting('block_size')::bigint
      end as expected
    from (
      select pg_relation_size(oid) as size, reltuples, relpages
      from pg_catalog.pg_class
      where oid = 'message_store.messages'::regclass
    ) as messages
  ),`;
}
