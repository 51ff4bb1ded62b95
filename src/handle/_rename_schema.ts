/**
 * Puts the name of a schema in place of `message_store` in SQL, also where a string or a sentence names it.
 *
 * Two things are more than a name:
 * - The settings `message_store.sql_condition` and `message_store.debug…` are the server's, and stay.
 * - An advisory lock is the database's, and its key the hash of a category. The name of the schema before
 *   the category makes it the lock of one store: where Message DB takes it, and where we do.
 *
 * What is renamed already stays as it is.
 */
export function renameSchema(text: string, schema: string): string {
  if (schema === "message_store") return text;
  return text
    .replace(LOCK_KEY, `$&'${schema}/' operator(pg_catalog.||) `)
    .replace(/(?<![\w/])message_store(?!\w|\.sql_condition|\.debug)/g, schema);
}

/** What comes before a category that is made into the key of a lock: in our SQL, and in `acquire_lock`. */
const LOCK_KEY =
  /advisory_xact_lock\(\s*message_store\.hash_64\(|\bhash_64\((?=_category\))|\bmd5\((?=category\))/g;

/**
 * What PostgreSQL would say in this sentence if Message DB were in the schema `message_store`. The key of a lock is
 * `text` in another schema, because the name of the schema is put before the category.
 */
export function inStockWords(message: string, schema: string): string {
  return message
    .replace(RegExp(`(?<![\\w.])${schema}(?!\\w)`, "g"), "message_store")
    .replace("hash_64(text)", "hash_64(character varying)");
}
