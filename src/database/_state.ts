import type { TransactionSql } from "postgres";
import { DISTRIBUTION, type Distribution } from "../read/_distribution.ts";
import { lockInstalls } from "./_install_lock.ts";
import type { Release } from "./_release.ts";
import { PINNED_SEARCH_PATH } from "./_search_path.ts";
import { queryRow } from "./_query_row.ts";

/** A database as a role sees it: which parts of a release of Message DB are there. */
export interface DatabaseState {
  readonly user: string;
  readonly database: string;
  /** The installed version of Message DB; null if there is none. */
  readonly version: string | null;
  /** As in `Distribution`; null for a plain table, or none. */
  readonly distribution: Distribution | null;
  /** The keys of the files whose objects are there. */
  readonly present: ReadonlySet<string>;
}

/** A release of Message DB, and the schema that it is in, or is to be in. */
export interface Target {
  readonly release: Release;
  readonly schema: string;
}

/**
 * Inspects the database, under the lock that keeps out other installs until the transaction ends. The
 * transaction has a search path that finds PostgreSQL's own names alone.
 */
export async function lockAndInspect(
  tx: TransactionSql,
  target: Target,
): Promise<DatabaseState> {
  await tx.unsafe(`
    set local search_path = ${PINNED_SEARCH_PATH};
    set local client_min_messages = error
  `);
  await lockInstalls(tx);
  return await inspectDatabase(tx, target);
}

/** Inspects the database, and leaves the transaction the search path that `lockAndInspect` does. */
export async function inspectDatabase(
  tx: TransactionSql,
  { release: { files }, schema }: Target,
): Promise<DatabaseState> {
  await tx.unsafe(`set local search_path = ${PINNED_SEARCH_PATH}`);
  // In a schema of another name, `acquire_lock` counts only with the schema in its key, and in `message_store` only
  // without one: see `renameSchema`. A schema may have been renamed since.
  const ownLock = schema === "message_store" ? "without a schema" : "with the schema";
  // This reads the catalogs, because every role may. to_regclass() and the like need usage of the schema.
  const row = await queryRow<[string, string, string | null, string, Distribution | null]>(
    tx,
    `
    with
      schema as (
        select oid from pg_namespace where nspname = 'message_store'
      ),
      role as (
        select oid from pg_roles where rolname = 'message_store'
      ),
      relation as (
        select c.oid, relname, relkind from pg_class c, schema where relnamespace = schema.oid
      ),
      function as (
        select p.oid, proname, prosrc from pg_proc p, schema where pronamespace = schema.oid
      ),
      present (key) as (
        select 'roles/message_store' from role
        union all
        select 'schema/message_store' from schema
        union all
        select 'extensions/' || extname from pg_extension
        union all
        select 'types/' || typname from pg_type, schema where typnamespace = schema.oid
        union all
        select 'tables/' || relname from relation where relkind in ('r', 'p')
        union all
        select 'indexes/' || relname from relation where relkind in ('i', 'I')
        union all
        select 'views/' || relname from relation where relkind = 'v'
        union all
        select 'functions/' || proname from function
        where proname <> 'acquire_lock'
          or case
            when $2 = 'without a schema' then strpos(prosrc, $lock$hash_64('$lock$) = 0
            else strpos(prosrc, $lock$hash_64(_category)$lock$) > 0
          end
        union all
        select 'privileges/schema' from role, schema
        where has_schema_privilege(role.oid, schema.oid, 'usage')
        union all
        select 'privileges/table' from role, relation
        where relname = 'messages'
        and has_table_privilege(role.oid, relation.oid, 'select')
        and has_table_privilege(role.oid, relation.oid, 'insert')
        union all
        select 'privileges/sequence' from role, relation
        where relname = 'messages_global_position_seq'
        and has_sequence_privilege(role.oid, relation.oid, 'usage')
        and has_sequence_privilege(role.oid, relation.oid, 'select')
        union all
        select 'privileges/functions' from role, function
        where 'functions/' || proname = any (string_to_array($1, ' '))
        having bool_and(has_function_privilege(role.oid, function.oid, 'execute'))
        union all
        select 'privileges/views' from role, relation
        where 'views/' || relname = any (string_to_array($1, ' '))
        having bool_and(has_table_privilege(role.oid, relation.oid, 'select'))
      )
    select
      current_user::text,
      current_database()::text,
      (
        select substring(prosrc from '''([0-9.]+)''') from function
        where proname = 'message_store_version'
      ),
      coalesce(string_agg(key, ' '), ''),
      ${DISTRIBUTION}
    from present
  `,
    [files.map(({ key }) => key).join(" "), ownLock],
  );
  const [user, database, version, keys, distribution] = row!;
  return { user, database, version, distribution, present: new Set(keys.split(" ")) };
}
