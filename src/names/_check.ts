import { invalid } from "../lib/invalid.ts";
import type { ConsumerGroup, Direction } from "../types.ts";
import { isCategory } from "./stream_name.ts";

/** NUL and half a surrogate pair: Postgres cannot store them as text, or would store another text. */
const UNWRITABLE_TEXT = /\0|\p{Surrogate}/u;

export function checkName(name: string, value: unknown): asserts value is string {
  if (typeof value !== "string" || value === "" || UNWRITABLE_TEXT.test(value)) {
    throw invalid(name, value, "text that is not empty and holds no NUL and no lone surrogate");
  }
}

/**
 * Refuses a category, as Message DB's `get_stream_messages` does. But a stored message may be of a stream whose
 * name is a category: `write_message` takes such a name, and Eventide writes to `account:position`.
 */
export function checkStreamName(value: unknown): asserts value is string {
  checkName("streamName", value);
  if (isCategory(value)) {
    throw invalid("streamName", value, "a stream, not a category: account-123");
  }
}

/** Refuses also an empty category, an empty id, and `$all`, which is no category of its own. */
export function checkWritableStreamName(value: unknown): asserts value is string {
  checkStreamName(value);
  if (/^-|^\$all-|^[^-]*-$/.test(value)) {
    throw invalid("streamName", value, 'a category and an id with a "-" between: account-123');
  }
}

export function checkCategory(name: string, value: unknown): asserts value is string {
  checkName(name, value);
  if (!isCategory(value)) throw invalid(name, value, 'a category, without "-": account');
  if (value === "$all") throw invalid(name, value, "a category, and readAll reads all");
}

/** Checks the name of a schema. SQL has it without quotes, so only `install` can tell that it is a word of SQL. */
export function checkSchemaName(value: unknown): asserts value is string {
  checkName("schema", value);
  const isName = /^[a-z_][a-z0-9_]{0,62}$/.test(value) &&
    !/^(pg_.*|information_schema|public|none)$/.test(value);
  if (isName) return;
  const rule =
    'a name of lower-case letters, digits and "_", up to 63, and none of PostgreSQL\'s own';
  throw invalid("schema", value, rule);
}

export function checkPattern(value: unknown): asserts value is string {
  checkName("pattern", value);
  if (/^(?:[^\\]|\\.)*\\$/s.test(value)) {
    throw invalid("pattern", value, 'a LIKE pattern that does not end with "\\"');
  }
}

export function checkInteger(
  name: string,
  value: unknown,
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): asserts value is number {
  if (typeof value !== "number") throw invalid(name, value, "a number");
  if (!Number.isInteger(value) || value < least || value > most) {
    throw invalid(name, value, `an integer from ${least} to ${most}`, RangeError);
  }
}

/** Checks the options that every read has. Returns them as parameters; the position is null if not given. */
export function checkPage(
  options: {
    readonly position?: number | undefined;
    readonly batchSize?: number | undefined;
    readonly direction?: Direction | undefined;
  },
): { position: string | null; batchSize: string; backward: boolean } {
  const { position, batchSize = 1000, direction = "forward" } = options;
  if (position !== undefined) checkInteger("position", position, 0);
  checkInteger("batchSize", batchSize, 1);
  if (direction !== "forward" && direction !== "backward") {
    throw invalid("direction", direction, '"forward" or "backward"');
  }
  return {
    position: position === undefined ? null : String(position),
    batchSize: String(batchSize),
    backward: direction === "backward",
  };
}

export function checkObject(
  name: string,
  value: unknown,
  rule: string,
): asserts value is object {
  if (typeof value !== "object" || value === null) throw invalid(name, value, rule);
}

/** Checks that an object has exactly one of these members. */
export function checkOneOf(what: string, given: object, ...names: readonly string[]): void {
  const has = names.filter((name) => (given as Record<string, unknown>)[name] !== undefined);
  if (has.length === 1) return;
  const quoted = (has.length === 0 ? names : has).map((name) => `"${name}"`);
  const last = quoted.pop();
  const listed = quoted.join(", ");
  const found = has.length === 0 ? `neither ${listed} nor` : `both ${listed} and`;
  throw new TypeError(`Cannot use ${what}: it has ${found} ${last}: give one of them`);
}

/** The names of all members of `Given`: the compiler refuses a list that lacks one, or has one more. */
export type Members<Given> = { readonly [Name in keyof Given]-?: true };

/** Checks that these are options of an operation, and no others: nobody would notice one that is ignored. */
export function checkOptions<Options extends object>(
  options: Options,
  known: NoInfer<Members<Options>>,
): void {
  checkMembers("options", options, known);
}

/**
 * Checks that this is an object, and that it has no members but those that are known. A member counts if its value
 * is undefined, and does not if it is inherited.
 */
export function checkMembers<Given extends object>(
  name: string,
  given: Given,
  known: NoInfer<Members<Given>>,
  rule = "an object",
): void {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw invalid(name, given, rule);
  }
  for (const member of Object.keys(given)) {
    if (Object.hasOwn(known, member)) continue;
    throw new TypeError(
      `Cannot use "${member}" in "${name}": it must be ${meantBy(member, Object.keys(known))}`,
    );
  }
}

/** The name that is meant by one in another style, or all names; in quotes. */
export function meantBy(unknown: string, names: readonly string[]): string {
  const inLowerCase = unknown.replace(/[_-]/g, "").toLowerCase();
  const meant = names.find((it) => it.toLowerCase() === inLowerCase);
  return `"${meant ?? names.join('" or "')}"`;
}

/** Returns the expected version as a parameter: null if none is given. */
export function checkExpectedVersion(
  { expectedVersion }: { readonly expectedVersion?: number | undefined },
): string | null {
  if (expectedVersion === undefined) return null;
  // -4 is STREAM_EXISTS.
  if (expectedVersion !== -4) checkInteger("expectedVersion", expectedVersion, -1);
  return String(expectedVersion);
}

export function checkConsumerGroup(group: ConsumerGroup): void {
  checkMembers(
    "consumerGroup",
    group,
    { member: true, size: true },
    "an object with member and size",
  );
  // Message DB casts the size to smallint.
  checkInteger("consumerGroup.size", group.size, 1, 32767);
  checkInteger("consumerGroup.member", group.member, 0, group.size - 1);
}

/** Checks a time span in milliseconds: a timer that is set to more does not wait at all. */
export function checkMilliseconds(name: string, value: unknown, least: number): void {
  checkInteger(name, value, least, 2 ** 31 - 1);
}

export function checkId(value: unknown): asserts value is string {
  if (
    typeof value !== "string" || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value)
  ) throw invalid("id", value, "a UUID");
}

export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== "function") throw invalid(name, value, "a function");
}

/** Refuses also the controller that a signal belongs to. */
export function checkSignal(signal: unknown): void {
  if (signal === undefined) return;
  const throwIfAborted: unknown = (signal as AbortSignal | null)?.throwIfAborted;
  if (typeof throwIfAborted !== "function") throw invalid("signal", signal, "an AbortSignal");
}

/** Refuses other years: PostgreSQL would not read them as JavaScript writes them. */
export function checkTime(time: unknown): void {
  if (time === undefined) return;
  const isDate = Object.prototype.toString.call(time) === "[object Date]";
  const year = isDate ? (time as Date).getUTCFullYear() : NaN;
  if (!(year >= 1 && year <= 9999)) throw invalid("time", time, "a Date in the years 1 to 9999");
}
