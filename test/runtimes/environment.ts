import type { Sql } from "@messagedb/client";

/** What the suite runs in: a handle, and what else the driver behind it can do. */
export interface Environment {
  readonly sql: Sql;
  /** Runs `work` in a transaction: commits when it resolves, rolls back when it rejects. */
  readonly begin?: <T>(work: (sql: Sql) => Promise<T>) => Promise<T>;
  /** A handle to a database in which Message DB is not installed. */
  readonly bare: Sql;
  /** Where the handle takes this library's statements only, and none of the suite's own. */
  readonly refusesOtherSql?: true;
  /** The schema that Message DB is in, if it is another than `message_store`. */
  readonly schema?: string;
  readonly close: () => Promise<void>;
}

/** How to connect, as JSON: it travels to another process, and to workerd in a request. */
export interface Settings {
  readonly driver:
    | "postgres.js"
    | "Bun's SQL"
    | "neon()"
    | "PGlite"
    | "pg"
    | "fetchSql"
    | "partitions";
  /** The URL of a database with Message DB, or of a gateway to it. */
  readonly url: string;
  /** As `url`, of a database in which Message DB is not installed. */
  readonly bareUrl: string;
  /** The schema that Message DB is in, if it is another than `message_store`. */
  readonly schema?: string;
  /** For "partitions": the URLs of the databases. */
  readonly partitions?: readonly string[];
  /** The number of the database that all categories are in; they are in all if this is left out. */
  readonly onePartition?: number;
  /** Whether the handle is one of `traced`. */
  readonly traced?: true;
  /** Options of postgres.js, those that are functions by their names. */
  readonly options?: {
    readonly transform?: "camel";
    readonly bigint?: true;
    readonly prepare?: false;
    readonly fetch_types?: false;
    readonly connection?: Readonly<Record<string, string>>;
  };
  /** Where `neon()` sends its requests; to gateways, where this is not given. */
  readonly endpoint?: string;
}

/** What happened to one behaviour, as one line of JSON on a runner's standard output. */
export interface Outcome {
  readonly name: string;
  readonly error?: string;
  readonly skipped?: string;
}
