import {
  ConditionNotActivatedError,
  DuplicateMessageError,
  NotInstalledError,
  WrongExpectedVersionError,
} from "../errors.ts";

/** The fields of a driver's error that this file reads. Bun has the SQLSTATE in `errno`. */
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

/** `EPIPE` is five capitals too, so the digit is required: every SQLSTATE has one. */
export const SQLSTATE: RegExp = /^(?=.*\d)[0-9A-Z]{5}$/;

// Somebody else's trigger on the table `messages` may also lack a table or a right. So an error counts only
// if it names one of Message DB's own objects. The words around the name are in the server's language, and so
// are the quotes: »messages«, « messages ».
const MISSING =
  /(?<![\w.])(message_store(?!\w)|messages(?![\w.])|(is_category|hash_64|cardinal_id|stream_version|acquire_lock)\(character varying)/;
// A table may also be called `category` or `id`: these two count only beside the word for a function.
const FORBIDDEN =
  /(?<![\w.])(message_store|messages|messages_global_position_seq|get_\w+_messages?|write_message|message_store_version|acquire_lock|stream_version|cardinal_id|hash_64|is_category)(?!\w)|(f[uo]n\S+|функц\S+|関数|函数|ფუნქც\S+) ?"?(category|id)(?!\w)|(?<!\w)(category|id) 함수/i;

/** The SQLSTATE of a database's error; undefined if the error has none. */
export function sqlStateOf(error: unknown): string | undefined {
  const { errno, code } = (error ?? {}) as DriverError;
  return [errno, code].map(String).find((it) => SQLSTATE.test(it));
}

/**
 * Turns a driver's error into one of this library's errors; an error that is not known comes back as it is.
 */
export function translateDriverError(error: unknown): unknown {
  const driver = (error ?? {}) as DriverError;
  const message = String(driver.message);
  const detail = String(driver.detail);
  const cause = { cause: error };

  switch (sqlStateOf(error)) {
    case "P0001": {
      // `^(?=(…))\1` matches the first place or none. A stream's name may repeat the words in front of it a
      // thousand times: the expression must not look through the rest of the text from each of these places.
      const wrong =
        /^(?=(.*?Wrong expected version: (-?\d+) \(Stream: ))\1(.*), Stream Version: (-?\d+)\)/s
          .exec(message);
      if (wrong) {
        return new WrongExpectedVersionError(wrong[3]!, Number(wrong[2]), Number(wrong[4]), cause);
      }
      if (message.includes("Retrieval with SQL condition is not activated")) {
        return new ConditionNotActivatedError(cause);
      }
      return error;
    }
    case "23505": {
      if ((driver.table_name ?? driver.table ?? "messages") !== "messages") return error;
      const constraint = driver.constraint_name ?? driver.constraint;
      const id = constraint === "messages_id" && /\(id\)=\((.*?)\)/.exec(detail);
      if (id) return new DuplicateMessageError(id[1]!, cause);
      // `(stream_name, "position")=(account-1, 5)`, matched as above.
      const taken = constraint === "messages_stream" &&
        /^(?=(.*?\)=\())\1(.*), (\d+)\)/s.exec(detail);
      if (taken) {
        // The transaction's snapshot is older than its lock: the transaction cannot see the message that
        // has the position already. In the snapshot, the stream ends one position before that message.
        const position = Number(taken[3]);
        return new WrongExpectedVersionError(taken[2]!, position - 1, position, cause);
      }
      return error;
    }
    case "3F000":
    case "42P01":
    case "42883":
      return MISSING.test(message) ? new NotInstalledError("missing", cause) : error;
    case "42501":
      return FORBIDDEN.test(message) ? new NotInstalledError("forbidden", cause) : error;
  }
  return error;
}

// The messages of pg, workerd and neon(), whose errors have no code when a connection breaks.
const LOST =
  /^(Connection terminated|Network connection lost|timeout exceeded|Error connecting to database|Server error \(HTTP status (429|5))/;

/**
 * Whether the error says that the database could not be reached or had no room. This can end by itself.
 *
 * The SQLSTATE classes are 08 (connection), 28 (login), 3D (no such database), 53 (out of resources), 57P
 * (the server starts, stops or ends a session) and 58 (system). The drivers' own codes are ECONNREFUSED,
 * CONNECTION_CLOSED, ERR_POSTGRES_CONNECTION_TIMEOUT and the like, and this library's FETCH_FAILED.
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
 * Whether the database, or a gateway, has refused a statement because of its content. Then nothing of the
 * statement was done, and a part of it may succeed alone.
 *
 * These errors are no refusals:
 * - A lost connection: the statement may have been done. An internal error (XX) counts as one, because
 *   poolers turn a lost connection into it.
 * - A timeout, a transaction that failed before, or a server that only reads: each part would fail as well.
 */
export function isStatementRefused(error: unknown): boolean {
  if (error instanceof DuplicateMessageError) return true;
  const { code, status, cause } = (error ?? {}) as Record<string, unknown>;
  if (code === "FETCH_FAILED") return /^(400|403|413|422)$/.test(String(status));
  const state = sqlStateOf(error) ?? sqlStateOf(cause);
  return state !== undefined && !(error instanceof NotInstalledError) &&
    !/^(08|25|26|28|3D|40003|53|55|57|58|XX)/.test(state);
}
