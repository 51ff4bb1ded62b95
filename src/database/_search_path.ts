/**
 * The search path that finds PostgreSQL's own names alone: tables, types, functions and operators. A stranger
 * may create in `public`, and `install` is often run by a superuser. `pg_temp` is last, because PostgreSQL
 * looks for tables and types in it first if the path does not name it.
 */
export const PINNED_SEARCH_PATH = "pg_catalog, pg_temp";
