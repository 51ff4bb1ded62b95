/**
 * How the table of messages is spread over more than one table: `"partitioned"`, `"foreign"`, or
 * `"distributed"` over servers by Citus. Null for a plain table, or none.
 */
export type Distribution = "partitioned" | "foreign" | "distributed";

/**
 * SQL of a `Distribution`. Every role may read these catalogs.
 *
 * A statement may name the catalog of Citus only where it is there. So the look into that catalog is a text,
 * which runs only then.
 */
export const DISTRIBUTION = `(
      select
        case
          when relkind::text = 'p' then 'partitioned'
          when relkind::text = 'f' then 'foreign'
          when to_regclass('pg_catalog.pg_dist_partition') is not null
            and query_to_xml(
              'select 1 as found from pg_catalog.pg_dist_partition '
                || 'where logicalrelid::pg_catalog.oid operator(pg_catalog.=) '
                || pg_class.oid::text,
              false, false, ''
            )::text ~~ '%<row%'
            then 'distributed'
        end
      from pg_catalog.pg_class
      where relname::text = 'messages'
        and relnamespace = (
          select oid from pg_catalog.pg_namespace where nspname::text = 'message_store'
        )
    )`;

/** What is wrong with such a table. */
export const DISTRIBUTION_TEXTS: Readonly<Record<Distribution, string>> = {
  partitioned: "is partitioned: ids and positions are unique in a partition only",
  foreign: "is a foreign table: the writers of another server hold no lock that readers here see",
  distributed: "is distributed (Citus): a statement is no longer one snapshot of one server, " +
    "so reads of all streams lose messages and writes answer wrongly, without an error",
};
