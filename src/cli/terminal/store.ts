import type { Sql } from "@messagedb/client";
import process from "node:process";
import type postgres from "postgres";
import { badUse } from "./exit_code.ts";

/** Which store: the options that all commands have. */
export interface StoreOptions {
  readonly url?: string | undefined;
  readonly token?: string | undefined;
  readonly schema?: string | undefined;
}

/** An open connection to a store. */
export interface Store {
  /** The handle that the client's functions take. */
  readonly sql: Sql;
  /** Closes the connections. */
  end(): Promise<void>;
}

/** An open connection to a PostgreSQL. */
export interface PostgresStore extends Store {
  readonly sql: postgres.Sql;
}

/**
 * The address of the store, without a password, and the schema if one is named. What is no address may hold a
 * password anywhere.
 */
export function storeAddress({ url: given, schema }: StoreOptions): string {
  const url = parseAddress(given ?? process.env["DATABASE_URL"] ?? "");
  const address = url === undefined
    ? "the store"
    : `${url.protocol}//${url.host}${url.pathname === "/" ? "" : url.pathname}`;
  return schema === undefined ? address : `${address} (schema ${JSON.stringify(schema)})`;
}

/** Undefined for what is no address of a store. */
function parseAddress(text: string): URL | undefined {
  if (!/^(postgres(ql)?|https?):\/\//.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  try {
    for (const part of [url.username, url.password, url.pathname]) decodeURIComponent(part);
  } catch {
    return undefined;
  }
  return url;
}

/** Opens the store that the options name, over its gateway if the address is a gateway's. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const url = storeUrl(options);
  if (!isGateway(url)) return await openServer(options);
  const { token = process.env["MESSAGEDB_TOKEN"], schema } = options;
  if (schema !== undefined) {
    throw badUse(
      `Cannot name a schema over the gateway ${url.origin}, which serves one store: leave out ` +
        "--schema, or give the address of PostgreSQL, postgres://…",
    );
  }
  return await openGateway(url, token);
}

/** What `openServer` takes of the driver's options. */
export type ConnectionOptions = Pick<postgres.Options<never>, "max" | "prepare">;

/** Opens the PostgreSQL that the options name. */
export async function openServer(
  options: StoreOptions,
  // Behind a pooler, a prepared statement may be on another connection.
  connections: ConnectionOptions = { max: 4, prepare: false },
): Promise<PostgresStore> {
  const url = storeUrl(options);
  if (isGateway(url)) {
    throw badUse(
      `Cannot do this over the gateway ${url.origin}: give the address of PostgreSQL, postgres://…`,
    );
  }
  if (options.token !== undefined) throw badUse("A token is for a gateway: give --url https://…");
  const { default: postgres } = await import("postgres");
  const sql = postgres(url.href, {
    ...connections,
    fetch_types: false,
    connect_timeout: 10,
    connection: { application_name: "messagedb" },
    onnotice: () => {},
  });
  return { sql: await ofSchema(sql, options), end: () => sql.end({ timeout: 1 }) };
}

async function ofSchema(sql: postgres.Sql, { schema }: StoreOptions): Promise<postgres.Sql> {
  if (schema === undefined) return sql;
  const { inSchema } = await import("@messagedb/client");
  return inSchema(sql, schema);
}

async function openGateway(url: URL, token: string | undefined): Promise<Store> {
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw badUse(
      "The token is empty, or has a character that no header may have: a space, a line end",
    );
  }
  const { fetchSql } = await import("@messagedb/client/fetch");
  if (!/\/sql\/?$/.test(url.pathname)) url.pathname = `${url.pathname.replace(/\/$/, "")}/sql`;
  const sql = fetchSql(url.href, {
    ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
  });
  return { sql, end: () => Promise.resolve() };
}

/** The address of the store, checked. */
export function storeUrl({ url = process.env["DATABASE_URL"] }: StoreOptions): URL {
  if (!url) {
    throw badUse(
      "No store is named: give --url postgres://…, or set DATABASE_URL. " +
        'For one to try things with, run "messagedb start"',
    );
  }
  const address = parseAddress(url);
  if (address !== undefined) return address;
  throw badUse(
    "What --url or DATABASE_URL holds is no address: give postgres://… or a gateway's https://…. " +
      'A "#", "/", "%" or space in a password is written %23, %2F, %25 or %20',
  );
}

function isGateway({ protocol }: URL): boolean {
  return protocol === "http:" || protocol === "https:";
}
