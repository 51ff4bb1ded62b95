import { DISTRIBUTION, type Distribution } from "../read/_distribution.ts";
import { queryJson } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";
import { SETTINGS_JSON } from "./_read_status.ts";
import type { StoreSettings } from "./status.ts";

/** What is true of a session, of its role and of its server, whether or not Message DB is there. */
export interface Facts {
  /** The role, quoted for SQL. */
  readonly role: string;
  readonly database: string;
  readonly serverVersion: string;
  readonly isStandby: boolean;
  readonly settings: StoreSettings;
  /** The server's clock, in milliseconds since 1970. */
  readonly now: number;
  /** How many seconds the zone `utc` is off in this session: PostgreSQL 18 may find another zone of this name. */
  readonly utcOffset: number;
  readonly connections: { readonly used: number; readonly most: number };
  readonly searchPath: {
    readonly setting: string;
    readonly hasStore: boolean;
    /** What other clients would call or read in place of Message DB's. */
    readonly shadows: readonly string[];
  };
  /** Whether there is a role `message_store`. */
  readonly hasGroup: boolean;
  /** Whether there is a schema of the role's name, as a tenant's role has one. */
  readonly hasOwnSchema: boolean;
  /** Null if there is no schema `message_store`. */
  readonly store: StoreFacts | null;
}

/** What is true of Message DB, for a role. */
export interface StoreFacts {
  readonly version: string | null;
  /** Functions that are missing, and `messages` if the table is. */
  readonly missing: readonly string[];
  readonly mayUse: boolean;
  readonly maySelect: boolean;
  readonly mayInsert: boolean;
  readonly mayDelete: boolean;
  readonly maySequence: boolean;
  /** Functions that the role may not call. */
  readonly mayNotCall: readonly string[];
  /** As in `Distribution`; null for a plain table. */
  readonly distribution: Distribution | null;
  /** `pg_trigger.tgenabled` of the trigger that notifies; null if there is none. */
  readonly notify: string | null;
}

const FUNCTIONS =
  "acquire_lock cardinal_id category get_category_messages get_last_stream_message " +
  "get_stream_messages hash_64 id is_category message_store_version stream_version write_message";

const FACTS_STEPS = `with
  schema as materialized (
    select oid from pg_catalog.pg_namespace where nspname::text = 'message_store'
  ),
  expected as materialized (
    select name from unnest(string_to_array('${FUNCTIONS}', ' ')) as name
  ),
  functions as materialized (
    select pg_proc.oid, proname::text as name, prosrc
    from pg_catalog.pg_proc
    join schema on pronamespace = schema.oid
  ),
  messages as materialized (
    select pg_class.oid
    from pg_catalog.pg_class
    join schema on relnamespace = schema.oid
    where relname::text = 'messages'
  ),
  path as materialized (
    select entry::text as name, place
    from unnest(current_schemas(false)) with ordinality as entries (entry, place)
  ),
  shadows as materialized (
    select concat_ws('.', path.name, named.name) as name
    from path
    join pg_catalog.pg_namespace on nspname::text = path.name
    join (
      select relnamespace as namespace, relname::text as name
      from pg_catalog.pg_class
      where relname::text = 'messages'
      union
      select pronamespace, proname::text
      from pg_catalog.pg_proc
      join expected on expected.name = proname::text
    ) as named on namespace = pg_namespace.oid
    where place < coalesce((select place from path where name = 'message_store'), 0)
  )`;

const STORE_JSON = /* @__PURE__ */ `
    select json_build_object(
      'version', (
        select substring(prosrc, '\'\'([0-9.]+)\'\'')
        from functions
        where name = 'message_store_version'
      ),
      'missing', coalesce((
        select json_agg(name order by name collate pg_catalog."C")
        from (
          select name from expected where not exists (
            select from functions where functions.name = expected.name
          )
          union all
          select 'messages' where not exists (select from messages)
        ) as missing
      ), '[]'),
      'mayUse', has_schema_privilege(schema.oid, 'usage'),
      'maySelect', coalesce((select has_table_privilege(oid, 'select') from messages), false),
      'mayInsert', coalesce((select has_table_privilege(oid, 'insert') from messages), false),
      'mayDelete', coalesce((select has_table_privilege(oid, 'delete') from messages), false),
      'maySequence', coalesce((
        select has_sequence_privilege(oid, 'usage')
        from (
          select pg_class.oid
          from pg_catalog.pg_class
          where relname::text = 'messages_global_position_seq'
            and relnamespace = schema.oid
            and relkind::text = 'S'
          offset 0
        ) as made
      ), false),
      'mayNotCall', coalesce((
        select json_agg(functions.name order by functions.name collate pg_catalog."C")
        from functions
        join expected on expected.name = functions.name
        where not has_function_privilege(functions.oid, 'execute')
      ), '[]'),
      'distribution', ${DISTRIBUTION},
      'notify', (
        select tgenabled::text
        from pg_catalog.pg_trigger
        join messages on tgrelid = messages.oid
        where tgname::text = 'messages_notify'
      )
    )
    from schema`;

/** Reads what any role may read of any database. */
export async function readFacts(sql: Sql): Promise<Facts> {
  return await queryJson<Facts>(sql, FACTS_STEPS, FACTS_JSON)`
select
  json_build_object(`;
}

const FACTS_JSON = `
    'role', quote_ident(current_user::text),
    'database', current_database()::text,
    'serverVersion', current_setting('server_version'),
    'isStandby', pg_is_in_recovery(),
    'settings', json_build_object(
        'TimeZone', current_setting('TimeZone'),
        ${SETTINGS_JSON}
    ),
    'now', date_part('epoch', clock_timestamp()) * 1000,
    'utcOffset', date_part('epoch', timezone('utc', now())) - date_part('epoch', now()),
    'connections', json_build_object(
      'used', (
        select count(*)
        from pg_catalog.pg_stat_activity
        where datid is not null
          and usesysid is not null
          and coalesce(backend_type, 'client backend') = 'client backend'
      ),
      'most', current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int
    ),
    'searchPath', json_build_object(
      'setting', current_setting('search_path'),
      'hasStore', exists (select from path where name = 'message_store'),
      'shadows', coalesce((
        select json_agg(name order by name collate pg_catalog."C") from shadows
      ), '[]')
    ),
    'hasGroup', exists (
      select from pg_catalog.pg_roles where rolname::text = 'message_store'
    ),
    'hasOwnSchema', exists (
      select from pg_catalog.pg_namespace where nspname::text = current_user::text
    ),
    'store', (${STORE_JSON}
    )
  )::text as json`;
