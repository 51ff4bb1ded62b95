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
  /** The function of PostgreSQL that has refused. */
  readonly routine?: unknown;
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
 *
 * @param inWords Makes of a sentence what PostgreSQL says if Message DB is in the schema `message_store`.
 */
export function translateDriverError(
  error: unknown,
  inWords: (message: string) => string = (it) => it,
): unknown {
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
      return detail.includes("(global_position)=") ? new NotInstalledError("behind", cause) : error;
    }
    case "3F000":
    case "42P01":
    case "42883":
      return MISSING.test(inWords(message)) ? new NotInstalledError("missing", cause) : error;
    case "42501":
      // A policy (row-level security) refuses the row, and no right is missing.
      if (driver.routine === "ExecWithCheckOptions") return error;
      return FORBIDDEN.test(inWords(message)) ? new NotInstalledError("forbidden", cause) : error;
  }
  return error;
}

/**
 * The trouble that an error tells of, where the statement is not to blame:
 *
 * - "lost": the server cannot be reached, has no room, starts, stops, only reads, takes no connections, or has
 *   ended the session.
 * - "late": the statement was given up: by `statement_timeout`, by `lock_timeout`, or by somebody's cancel.
 * - "conflict": a serialization failure or a deadlock.
 * - "closed": the login is refused, the database does not exist, or the caller has ended the handle.
 *
 * All but "closed" passes by itself. The table of docs/reference/retries.md says the same.
 */
export type Trouble = "lost" | "late" | "conflict" | "closed";

const TROUBLE_BY_STATE: readonly (readonly [RegExp, Trouble])[] = [
  [/^(28|3D|57P04)/, "closed"],
  // 25006: the server only reads. 25P03 and 25P04: it has ended a session whose transaction took too long.
  [/^(08|25006|25P03|25P04|53|57P|58)/, "lost"],
  [/^(57014|55P03)$/, "late"],
  [/^40/, "conflict"],
];

const TROUBLE_BY_CODE: readonly (readonly [RegExp, Trouble])[] = [
  [/^CONNECTION_(ENDED|DESTROYED)$/, "closed"],
  [/^E(?!RR_)[A-Z_]+$|^CONNECT|^ANSWER_TIMEOUT$/, "lost"],
  [/^ERR_(SSL|SOCKET|STREAM|TLS_HANDSHAKE)_|^UND_ERR_(SOCKET$|\w+_TIMEOUT)/, "lost"],
  [/^ERR_POSTGRES_\w*(CONNECTION|TIMEOUT)/, "lost"],
];

/** The names of Deno's errors, and the messages of pg, workerd and neon(), which have no code. */
const TROUBLE_BY_WORDS: readonly (readonly [RegExp, Trouble])[] = [
  [/^(Connection(Reset|Refused|Aborted)|BrokenPipe|NotConnected|TimedOut|UnexpectedEof): /, "lost"],
  [/: (Connection terminated|Network connection lost|Client has encountered a connection)/, "lost"],
  [/: (timeout exceeded|Error connecting to database|Server error \(HTTP status (429|5))/, "lost"],
  [/: Query read timeout/, "late"],
];

/** The trouble that an error, or the error that is its cause, tells of; undefined for any other error. */
export function troubleOf(error: unknown): Trouble | undefined {
  return troubleIn(error) ?? troubleIn((error as { cause?: unknown } | null | undefined)?.cause);
}

function troubleIn(error: unknown): Trouble | undefined {
  const { code, name, message, status, severity, routine } = (error ?? {}) as Record<
    string,
    unknown
  >;
  const find = (troubles: typeof TROUBLE_BY_STATE, text: string) =>
    troubles.find(([pattern]) => pattern.test(text))?.[1];
  const state = sqlStateOf(error);
  // A standby ends a session that its replay would have to wait for.
  if (state === "40001" && severity === "FATAL") return "lost";
  // PostgreSQL's own internal errors name a routine. Poolers use the state for all that happens to them.
  if (state === "XX000" && routine === undefined) return "lost";
  // The database has `allow_connections false`. The state has other meanings, and the server other languages.
  if (state === "55000" && /accepting connections|CheckMyDatabase/.test(`${message} ${routine}`)) {
    return "lost";
  }
  if (state !== undefined) return find(TROUBLE_BY_STATE, state);
  if (code === "FETCH_FAILED") {
    const isPassing = status === null || status === 408 || status === 425 || Number(status) >= 429;
    return isPassing ? "lost" : undefined;
  }
  return typeof code === "string"
    ? find(TROUBLE_BY_CODE, code)
    : find(TROUBLE_BY_WORDS, `${name}: ${message}`);
}

/** Whether the error says that the database cannot be reached or has no room. */
export function isDatabaseUnavailable(error: unknown): boolean {
  return /^(lost|closed)$/.test(String(troubleOf(error)));
}

// As V8 and Node, Deno, JavaScriptCore, neon() and PostgreSQL say it.
const LONGER_THAN_TEXT =
  /string length|string longer|exceeds (the )?maximum|response is too large|memory alloc request size/i;

/**
 * Whether the answer of a statement was larger than a text can be: of this runtime (half a gigabyte in V8), of
 * PostgreSQL (a gigabyte), or of a gateway. A smaller page may fit.
 */
export function isLongerThanText(error: unknown): boolean {
  const { code, problem, message, cause } = (error ?? {}) as Record<string, unknown>;
  const state = sqlStateOf(error);
  if (state !== undefined && state !== "XX000") return state === "54000" || state === "53200";
  return code === "ERR_STRING_TOO_LONG" || [code, problem].includes("ANSWER_TOO_LARGE") ||
    LONGER_THAN_TEXT.test(String(message)) ||
    error instanceof RangeError && /out of memory/i.test(error.message) ||
    cause !== undefined && isLongerThanText(cause);
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
