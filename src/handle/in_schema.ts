import { NotInstalledError } from "../errors.ts";
import { invalid } from "../lib/invalid.ts";
import { checkSchemaName } from "../names/_check.ts";
import type { Sql } from "../types.ts";
import { deriveHandle } from "./_derive_handle.ts";
import { translateDriverError } from "./_driver_error.ts";
import { inStockWords, renameSchema } from "./_rename_schema.ts";
import { type OwnHandle, ownOf } from "./_statement.ts";
import { templateOf } from "./_statement_text.ts";

/** The handles that were made of a handle, by the name of the schema. */
const made = new WeakMap<Sql, Map<string, Sql>>();

/**
 * Makes a handle for a Message DB in a schema of another name: one of many stores in a database, for tenants,
 * modules or test runs.
 *
 * `install(sql, { schema })` creates such a store, with a role of that name. Every function of this library
 * takes the handle. A transaction of the handle, its savepoints and its reserved connections are handles of
 * the same store. SQL of your own stays as it is: name the schema there, or set a search path.
 *
 * The stores of one database share nothing but the database: a category has a lock of its own in each, and
 * so has a channel for notifications. Each store has its own global positions and its own `"$all"`.
 *
 * Anyone who connects may listen to the channel of any store, if its writes notify: the channel tells names of
 * categories, and nothing else. What keeps messages apart is the role: a tenant's program connects as a role
 * that has the rights of one schema.
 *
 * A gateway serves one store: give `inSchema(sql, "tenant_1")` to `gateway`, and use `fetchSql` as it is.
 *
 * @example
 * ```ts
 * import { inSchema, readStream, write } from "@messagedb/client";
 * import { install } from "@messagedb/client/install";
 * import postgres from "postgres";
 *
 * const sql = postgres("postgres://postgres@localhost/message_store");
 * await install(sql, { schema: "tenant_1" });
 * const tenant = inSchema(sql, "tenant_1");
 * await write(tenant, "account-123", { type: "Opened" });
 * await readStream(tenant, "account-123");
 * ```
 *
 * @typeParam Handle The type of the handle: the new handle does what the given one does.
 * @param sql The handle. Not one of `fetchSql`, whose gateway names the schema, and not one of `partitioned`,
 * which takes handles of this function.
 * @param schema The name of the schema: lower-case letters, digits and `_`, up to 63.
 * @returns The handle; the same one for the same handle and schema.
 * @throws {TypeError} If the name is no such name, or the handle is none, of `fetchSql` or of `partitioned`.
 */
export function inSchema<Handle extends Sql>(sql: Handle, schema: string): Handle {
  checkSchemaName(schema);
  if (typeof sql !== "function") {
    throw invalid("sql", sql, "a handle: a tagged-template function");
  }
  if (ownOf(sql)?.retries) {
    throw new TypeError(
      `Cannot use the schema "${schema}" over a gateway: give inSchema(sql, "${schema}") to the gateway`,
    );
  }
  if (ownOf(sql)?.storeOf) {
    throw new TypeError(
      `Cannot use the schema "${schema}" over partitions: give partitioned() handles of inSchema()`,
    );
  }
  if ((ownOf(sql)?.schema ?? "message_store") === schema) return sql;
  const ofHandle = made.get(sql) ?? new Map<string, Sql>();
  made.set(sql, ofHandle);
  const handle = ofHandle.get(schema) ?? makeInSchema(sql, schema);
  ofHandle.set(schema, handle);
  return handle as Handle;
}

/** What observes statements knows them in the words of the stock schema, so it comes around the handle. */
function makeInSchema(sql: Sql, schema: string): Sql {
  const observe = ownOf(sql)?.observe;
  return observe
    ? observe.again(inSchema(observe.given, schema))
    : deriveHandle(sql, inWordsOf(schema));
}

/** Makes what a handle for a schema keeps: it renames each statement once, and says the name in errors. */
function inWordsOf(schema: string): () => OwnHandle {
  const renamed = new WeakMap<TemplateStringsArray, TemplateStringsArray>();
  const send: OwnHandle["send"] = (sql, statement, ...parameters) => {
    let own = renamed.get(statement);
    if (own === undefined) {
      own = templateOf(statement.map((part) => renameSchema(part, schema)));
      renamed.set(statement, own);
    }
    return sql(own, ...parameters);
  };
  const translate: OwnHandle["translate"] = (error) => {
    const known = translateDriverError(error, (message) => inStockWords(message, schema));
    // An error that was one before names the schema already.
    if (known === error || !(known instanceof NotInstalledError)) return known;
    const message = renameSchema(known.message, schema)
      .replace("install(sql)", `install(sql, { schema: "${schema}" })`)
      .replace(/(?<=^Cannot \w+ (the )?)Message DB( 1\.3)?/, `$& in the schema "${schema}"`);
    return new NotInstalledError(known.reason, { cause: known.cause, message });
  };
  return () => ({ schema, send, translate });
}
