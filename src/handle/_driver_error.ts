import {
  ConditionNotActivatedError,
  DuplicateMessageError,
  NotInstalledError,
  WrongExpectedVersionError,
} from "../errors.ts";

/** What drivers put on an error: `errno` is Bun's name for the SQLSTATE. */
interface DriverError {
  readonly code?: unknown;
  readonly errno?: unknown;
  readonly message?: unknown;
  readonly detail?: unknown;
  readonly constraint?: unknown;
  readonly constraint_name?: unknown;
  readonly table?: unknown;
  readonly table_name?: unknown;
}

/** `EPIPE` is five capitals too: a SQLSTATE has a digit. */
export const SQLSTATE: RegExp = /^(?=.*\d)[0-9A-Z]{5}$/;

// A trigger of another's on our table may lack a table or a right of its own: these are ours.
const MISSING =
  /"(message_store|messages)"|\bmessage_store\.|function (is_category|hash_64|cardinal_id|stream_version|acquire_lock)\(character varying/;
const FORBIDDEN =
  /\b(message_store|messages|messages_global_position_seq)$|function (\w+_messages?|message_store_version|acquire_lock|stream_version|cardinal_id|hash_64|is_category|category|id)$/;

/** The SQLSTATE of a database's error. */
export function sqlStateOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { errno, code } = error as DriverError;
  return [errno, code].map(String).find((it) => SQLSTATE.test(it));
}

/** The error as this library names it; one that it does not know comes back as it is. */
export function translateDriverError(error: unknown): unknown {
  if (typeof error !== "object" || error === null) return error;
  const driver = error as DriverError;
  const message = String(driver.message);
  const detail = String(driver.detail);
  const cause = { cause: error };

  switch (sqlStateOf(error)) {
    case "P0001": {
      const wrong = /Wrong expected version: (-?\d+) \(Stream: (.*), Stream Version: (-?\d+)\)/s
        .exec(message);
      if (wrong) {
        return new WrongExpectedVersionError(wrong[2]!, Number(wrong[1]), Number(wrong[3]), cause);
      }
      if (message.includes("Retrieval with SQL condition is not activated")) {
        return new ConditionNotActivatedError(cause);
      }
      return error;
    }
    case "23505":
      if ((driver.table_name ?? driver.table ?? "messages") !== "messages") return error;
      switch (driver.constraint_name ?? driver.constraint) {
        case "messages_id": {
          const id = /\(id\)=\((.*?)\)/.exec(detail);
          return id ? new DuplicateMessageError(id[1]!, cause) : error;
        }
        case "messages_stream": {
          // A snapshot older than the lock: the transaction cannot see what it collides with.
          const taken = /\(stream_name, "?position"?\)=\((.*), (\d+)\)/s.exec(detail);
          if (!taken) return error;
          const position = Number(taken[2]);
          return new WrongExpectedVersionError(taken[1]!, position - 1, position, cause);
        }
      }
      return error;
    case "3F000":
    case "42P01":
    case "42883":
      return MISSING.test(message) ? new NotInstalledError("missing", cause) : error;
    case "42501":
      return FORBIDDEN.test(message) ? new NotInstalledError("forbidden", cause) : error;
  }
  return error;
}

// What pg, workerd and neon() say without a code.
const LOST =
  /^(Connection terminated|Network connection lost|timeout exceeded|Error connecting to database|Server error \(HTTP status (429|5))/;

/**
 * Whether the database could not be reached, or had no room: what can go away by itself.
 *
 * The driver's own codes are ECONNREFUSED, CONNECTION_CLOSED, ERR_POSTGRES_CONNECTION_TIMEOUT and our
 * own FETCH_FAILED; pg and neon() have none where a connection breaks.
 */
export function isDatabaseUnavailable(error: unknown): boolean {
  const state = sqlStateOf(error);
  if (state !== undefined) return /^(08|28|3D|53|57P|58)/.test(state);
  const { code, message, status } = (error ?? {}) as Record<string, unknown>;
  if (code === "FETCH_FAILED") return status === null || status === 408 || Number(status) >= 429;
  return typeof code === "string"
    ? /^E(?!RR_)[A-Z_]+$|^CONNECT|^ERR_POSTGRES_\w*(CONNECTION|TIMEOUT)/.test(code)
    : LOST.test(String(message));
}

/**
 * Whether the database, or a gateway, has refused a statement for what is in it: nothing of it was done,
 * and a part of it may be. A lost connection says nothing, nor does an internal error, which poolers make
 * of one; a time limit, a transaction that failed before or a server that only reads would refuse all
 * parts.
 */
export function isStatementRefused(error: unknown): boolean {
  if (error instanceof DuplicateMessageError) return true;
  const { code, status, cause } = (error ?? {}) as Record<string, unknown>;
  if (code === "FETCH_FAILED") return /^(400|403|413|422)$/.test(String(status));
  const state = sqlStateOf(error) ?? sqlStateOf(cause);
  return state !== undefined && !(error instanceof NotInstalledError) &&
    !/^(08|25|26|28|3D|40003|53|55|57|58|XX)/.test(state);
}
