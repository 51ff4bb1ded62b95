import type { PartitionOf, Sql } from "@messagedb/client";
import process from "node:process";
import type postgres from "postgres";
import { type Address, addressText, driverAddress, isGateway, parseAddress } from "./address.ts";
import { badUse } from "./exit_code.ts";
import { loadDefault } from "./load_module.ts";
import { counted } from "./text.ts";

/** Which store: the options that all commands have. */
export interface StoreOptions {
  /** The address; of a store of several partitions, theirs in their order. */
  readonly url?: readonly string[] | undefined;
  readonly token?: string | undefined;
  readonly schema?: string | undefined;
  /** The partition that is meant alone. */
  readonly partition?: number | undefined;
  /** The module that says which partition a category is in. */
  readonly partitionOf?: string | undefined;
}

/** An open connection to a store. */
export interface Store {
  /** The handle that the client's functions take: of all partitions, if the store has several. */
  readonly sql: Sql;
  /** Closes the connections. */
  end(): Promise<void>;
}

/** An open connection to a PostgreSQL. */
export interface PostgresStore extends Store {
  readonly sql: postgres.Sql;
}

/** The texts of the addresses: white space stands between several, because an address has none. */
function addressesIn({ url = [process.env["DATABASE_URL"] ?? ""] }: StoreOptions): string[] {
  return url.flatMap((text) => text.split(/\s+/)).filter(Boolean);
}

/**
 * The address of the store, without a password, and the schema if one is named. What is no address may hold a
 * password anywhere.
 */
export function storeAddress({ schema, partition, ...options }: StoreOptions): string {
  const addresses = addressesIn(options);
  const parsed = parseAddress(addresses[partition ?? 0] ?? "");
  const address = parsed === undefined ? "the store" : addressText(parsed);
  const named = schema === undefined ? address : `${address} (schema ${JSON.stringify(schema)})`;
  const others = partition === undefined ? addresses.length - 1 : 0;
  return others > 0 ? `${named} and ${counted(others, "more partition")}` : named;
}

/** Opens the store that the options name, over its gateway if the address is a gateway's. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const [first, ...others] = storeAddresses(options);
  if (others.length > 0 || !isGateway(first!)) return await openServer(options);
  const { token = process.env["MESSAGEDB_TOKEN"], schema } = options;
  if (schema !== undefined) {
    throw badUse(
      `Cannot name a schema over the gateway ${
        first!.url.origin
      }, which serves one store: leave out ` +
        "--schema, or give the address of PostgreSQL, postgres://…",
    );
  }
  return await openGateway(first!.url, token);
}

/** What `openServer` takes of the driver's options. */
export type ConnectionOptions = Pick<postgres.Options<never>, "max" | "prepare">;

/** A pooler may be between: there, a prepared statement may be on another connection. */
const CONNECTIONS: ConnectionOptions = { max: 4, prepare: false };

/**
 * Opens the PostgreSQL that the options name. With several addresses, the handle is that of all partitions, or of
 * the one that is picked. Either checks that each database is the partition that it is given as.
 */
export async function openServer(
  options: StoreOptions,
  connections: ConnectionOptions = CONNECTIONS,
): Promise<Store> {
  const opened = await Promise.all(
    serverAddresses(options).map((address) => connectTo(address, options, connections)),
  );
  const end = async () => void await Promise.all(opened.map((it) => it.end()));
  const [only] = opened;
  if (opened.length === 1) return only!;
  const { partitioned, partitions } = await import("@messagedb/client");
  const partitionOf = options.partitionOf === undefined
    ? undefined
    : await loadDefault<PartitionOf>(options.partitionOf);
  const whole = partitioned(opened.map(({ sql }) => sql), { partitionOf });
  const { partition } = options;
  return { sql: partition === undefined ? whole : partitions(whole)[partition]!, end };
}

/** Opens one database as it is, whatever is in it: the only one, or the partition that is picked. */
export async function openOneDatabase(
  options: StoreOptions,
  connections: ConnectionOptions = CONNECTIONS,
): Promise<PostgresStore> {
  const addresses = serverAddresses(options);
  if (addresses.length > 1 && options.partition === undefined) {
    throw badUse(
      `Cannot do this with ${addresses.length} databases at once: --partition N picks one`,
    );
  }
  return await connectTo(addresses[options.partition ?? 0]!, options, connections);
}

function serverAddresses(options: StoreOptions): readonly Address[] {
  const addresses = storeAddresses(options);
  const gateway = addresses.find(isGateway);
  if (gateway !== undefined) {
    throw badUse(
      `Cannot do this over the gateway ${gateway.url.origin}: give the address of PostgreSQL, postgres://…`,
    );
  }
  if (options.token !== undefined) throw badUse("A token is for a gateway: give --url https://…");
  return addresses;
}

async function connectTo(
  address: Address,
  { schema }: StoreOptions,
  connections: ConnectionOptions,
): Promise<PostgresStore> {
  const { default: postgres } = await import("postgres");
  const sql = postgres(driverAddress(address), {
    ...connections,
    fetch_types: false,
    connect_timeout: 10,
    connection: { application_name: "messagedb" },
    onnotice: () => {},
  });
  return { sql: await ofSchema(sql, schema), end: () => sql.end({ timeout: 1 }) };
}

async function ofSchema(sql: postgres.Sql, schema: string | undefined): Promise<postgres.Sql> {
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

/** A database of a store, and which partition of the store it is. */
export interface PartitionPlace {
  readonly number: number;
  /** How many partitions the store has. */
  readonly of: number;
}

/** Says for each database that is meant which partition it is; once undefined for a store of one database. */
export function placesIn(options: StoreOptions): readonly (PartitionPlace | undefined)[] {
  const { length: of } = storeAddresses(options);
  if (of === 1) return [undefined];
  if (options.partition !== undefined) return [{ number: options.partition, of }];
  return Array.from({ length: of }, (_, number) => ({ number, of }));
}

/** Whether the options name a database by its address alone, and no gateway. */
export function isOneDatabase(options: StoreOptions): boolean {
  const [first, ...others] = storeAddresses(options);
  return others.length === 0 && !isGateway(first!);
}

/** The servers of the one database that is meant. */
export function storeServers(options: StoreOptions): URL[] {
  const { servers } = storeAddresses(options)[options.partition ?? 0]!;
  return servers.map((server) => new URL(`postgres://${server}`));
}

/** The addresses, checked: one, or that of each partition. */
function storeAddresses(options: StoreOptions): readonly Address[] {
  const texts = addressesIn(options);
  if (texts.length === 0) {
    throw badUse(
      "No store is named: give --url postgres://…, or set DATABASE_URL. " +
        'For one to try things with, run "messagedb start"',
    );
  }
  const addresses = texts.flatMap((text) => parseAddress(text) ?? []);
  if (addresses.length < texts.length) {
    throw badUse(
      "What --url or DATABASE_URL holds is no address: give postgres://… or a gateway's https://…. " +
        'A "#", "/", "%" or space in a password is written %23, %2F, %25 or %20; ' +
        "several addresses are divided by spaces, the servers of one by commas",
    );
  }
  const { partition, partitionOf } = options;
  if (addresses.length === 1 && (partition ?? partitionOf) !== undefined) {
    throw badUse(
      `There is one address, and ${
        partition === undefined ? "--partition-of" : "--partition"
      } is ` +
        "for a store of several: give --url for each partition, in their order",
    );
  }
  if ((partition ?? 0) >= addresses.length) {
    throw badUse(
      `There is no partition ${partition}: the ${addresses.length} addresses are of the partitions ` +
        `0 to ${addresses.length - 1}`,
    );
  }
  return addresses;
}
