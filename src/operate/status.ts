/** How a store is, as `storeStatus` describes it. */
export interface StoreStatus {
  /** The version of Message DB: `"1.3.0"`; null if it has no function that tells it. */
  readonly version: string | null;
  /** The version of PostgreSQL: `"18.1"`. */
  readonly serverVersion: string;
  /** Whether the server is a standby, which only reads. */
  readonly isStandby: boolean;
  /** How many messages there are, and since when. */
  readonly messages: MessageCount;
  /** The bytes that the table of messages takes on the disk, and its indexes. */
  readonly size: { readonly table: number; readonly indexes: number };
  /** The categories, sorted by code point. */
  readonly categories: readonly CategoryStatus[];
  /** The indexes of the table, and those of Message DB that are missing, sorted by name. */
  readonly indexes: readonly IndexStatus[];
  /** Which options of `install` are on. */
  readonly install: {
    /** Whether each write notifies listeners. */
    readonly notify: boolean;
    /** Whether there is an index of stream names that PostgreSQL uses. */
    readonly nameIndex: boolean;
  };
  /**
   * How the table of messages is spread: `"partitioned"`, `"foreign"`, or `"distributed"` over servers by
   * Citus. This package works with none of them. Null for a plain table.
   */
  readonly distribution: "partitioned" | "foreign" | "distributed" | null;
  /** Which partition of a store the database is, as `install` has marked it; null if it has no mark. */
  readonly partition: {
    /** The partition's number, from 0. */
    readonly number: number;
    /** How many partitions the store has. */
    readonly of: number;
  } | null;
  /** Settings of PostgreSQL and of Message DB. */
  readonly settings: StoreSettings;
  /** The transactions that hold a category or hold up readers of `"$all"`, from the oldest on. */
  readonly transactions: readonly OpenTransaction[];
  /** The sequence that global positions come from; null if the role may not read it, or if there is none. */
  readonly sequence: {
    /** The last global position that was given to a message; 0 for none. It may have been rolled back. */
    readonly last: number;
    /**
     * Whether there are messages at or after the next position, so that writes fail: after logical replication or a
     * restore, which copy the messages alone. `install` mends it.
     */
    readonly isBehind: boolean;
  } | null;
}

/** How many messages a store has. */
export interface MessageCount {
  /** How many messages there are. */
  readonly count: number;
  /** Whether `count` is estimated, from a part of a large table. */
  readonly isEstimate: boolean;
  /** The global position of the last message; 0 for none. */
  readonly lastGlobalPosition: number;
  /** The time of the first message; null for none, or if no Date can be so early or late. */
  readonly firstAt: Date | null;
  /** The time of the last message; null for none, or if no Date can be so early or late. */
  readonly lastAt: Date | null;
}

/** A category of a store. */
export interface CategoryStatus {
  /** The category, with its types: `"account:command"`. */
  readonly category: string;
  /** How many messages it has. */
  readonly count: number;
  /**
   * Whether `count` is estimated. Less than 1,000 messages are always counted. The estimate of a few thousand messages
   * among a million may be off by half.
   */
  readonly isEstimate: boolean;
  /** The global position of its last message. */
  readonly lastGlobalPosition: number;
  /** The time of its first message; null if no Date can be so early or late. */
  readonly firstAt: Date | null;
  /** The time of its last message; null if no Date can be so early or late. */
  readonly lastAt: Date | null;
}

/** An index of the table of messages. */
export interface IndexStatus {
  /** The name of the index: `"messages_stream"`. */
  readonly name: string;
  /**
   * `"missing"`: Message DB has the index, and the store has not. `"invalid"`: PostgreSQL does not use the index, because
   * it was not created to the end; or it allows doubles and Message DB's does not.
   */
  readonly state: "valid" | "invalid" | "missing";
  /** The bytes that the index takes on the disk; 0 if it is missing. */
  readonly size: number;
}

/** Settings as they are for the session, in PostgreSQL's words: `"on"`, `"0"`, `"30s"`. Null: the server has none. */
export interface StoreSettings {
  /** Whether a commit is on the disk before it is acknowledged. If `"off"`, a crash of the machine may destroy all. */
  readonly fsync: string | null;
  /** What a commit waits for. If `"off"`, a crash may lose the last commits. */
  readonly synchronous_commit: string | null;
  /** Whether pages that a crash tore can be restored. If `"off"`, a crash of the machine may destroy some. */
  readonly full_page_writes: string | null;
  /** The standbys that a commit waits for; empty for none. */
  readonly synchronous_standby_names: string | null;
  /** The time zone of the session. Times of messages do not depend on it. */
  readonly TimeZone: string | null;
  /** After what time a statement is canceled; `"0"` for never. */
  readonly statement_timeout: string | null;
  /** After what time a statement that waits for a lock is canceled, as a write does for its category. */
  readonly lock_timeout: string | null;
  /** After what time a transaction that does nothing is ended. `"0"`: it can hold a category for ever. */
  readonly idle_in_transaction_session_timeout: string | null;
  /** After what time any transaction is ended, since PostgreSQL 17. */
  readonly transaction_timeout: string | null;
  /** The isolation level of transactions that name none. */
  readonly default_transaction_isolation: string | null;
  /** How many connections the server allows. */
  readonly max_connections: string | null;
  /** The encoding of the database. */
  readonly server_encoding: string | null;
  /** Whether reads may have a `condition`. Null and `"off"`: they may not. */
  readonly "message_store.sql_condition": string | null;
}

/** A transaction that holds locks of Message DB. */
export interface OpenTransaction {
  /** The process of the server; null for a prepared transaction. `pg_terminate_backend` ends a process. */
  readonly pid: number | null;
  /** The name of a prepared transaction, which `COMMIT PREPARED` or `ROLLBACK PREPARED` ends; else null. */
  readonly prepared: string | null;
  /** The role that has begun it. */
  readonly user: string | null;
  /** The name that the program gave to its connection; null for a prepared transaction. */
  readonly applicationName: string | null;
  /** What the process does: `"active"`, `"idle in transaction"`; null if the role may not see it. */
  readonly state: string | null;
  /**
   * How long it is open, in milliseconds, by the server's clock; null if the role may not see it (`pg_read_all_stats` may).
   */
  readonly age: number | null;
  /** Whether it has written messages or is about to. Until it ends, readers of `"$all"` wait at its positions. */
  readonly holdsAll: boolean;
  /** The categories that it has written to. Until it ends, nobody else writes to them. */
  readonly categories: readonly string[];
  /** How many transactions wait for these categories. */
  readonly waiting: number;
}
