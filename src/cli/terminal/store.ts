import type { Sql } from "@messagedb/client";
import process from "node:process";
import type postgres from "postgres";
import { badUse } from "./exit_code.ts";

/** Which store: the options that all commands have. */
export interface StoreOptions {
  readonly url?: string | undefined;
  readonly token?: string | undefined;
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

/** The address of the store, without a password. */
export function storeAddress(options: StoreOptions): string {
  const text = options.url ?? process.env["DATABASE_URL"] ?? "";
  if (!URL.canParse(text)) return text;
  const { protocol, host, pathname } = new URL(text);
  return `${protocol}//${host}${pathname === "/" ? "" : pathname}`;
}

/** Opens the store that the options name, over its gateway if the address is a gateway's. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const url = storeUrl(options);
  const { token = process.env["MESSAGEDB_TOKEN"] } = options;
  return isGateway(url) ? await openGateway(url, token) : await openServer(options);
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
  return { sql, end: () => sql.end({ timeout: 1 }) };
}

async function openGateway(url: URL, token: string | undefined): Promise<Store> {
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
  if (!URL.canParse(url) || !/^(postgres(ql)?|https?):$/.test(new URL(url).protocol)) {
    throw badUse(`"${url}" is no address: give postgres://… or a gateway's https://…`);
  }
  return new URL(url);
}

function isGateway({ protocol }: URL): boolean {
  return protocol === "http:" || protocol === "https:";
}
