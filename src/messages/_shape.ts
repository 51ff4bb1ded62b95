import type { Issue } from "../errors.ts";
import { canonicalText, isReadAsGiven, withDigits } from "../lib/plain.ts";
import { isPromise } from "../lib/promise.ts";
import { wordsOf } from "../lib/words.ts";
import { stringify } from "./_json.ts";
import type { StandardIssue, StandardResult, StandardSchema } from "./schema.ts";

/** A schema, and a function that converts its output to its input, if the schema itself cannot. */
export interface Shape {
  readonly schema: StandardSchema;
  readonly encode?: ((value: never) => unknown) | undefined;
}

/** A value that fits, or the issues of one that does not. */
export type Checked =
  | { readonly value: unknown; readonly issues?: undefined }
  | { readonly issues: readonly Issue[] };

/** The JSON to store, and the value that the schema reads from that JSON; or the issues. */
export type Encoded =
  | { readonly value: unknown; readonly read: unknown; readonly issues?: undefined }
  | { readonly issues: readonly Issue[] };

export function isSchema(value: unknown): value is StandardSchema {
  return typeof (value as StandardSchema | null)?.["~standard"]?.validate === "function";
}

/** Parses stored data. */
export function decodeShape({ schema }: Shape, stored: unknown): Checked | Promise<Checked> {
  try {
    const result = schema["~standard"].validate(stored);
    return isPromise(result) ? result.then(checkedOf, checkedThrow) : checkedOf(result);
  } catch (error) {
    return checkedThrow(error);
  }
}

/** A codec may throw at data that does not fit, as BigInt("x") does. Its error becomes an issue. */
function checkedThrow(error: unknown): Checked {
  const isOfData = error instanceof TypeError || error instanceof SyntaxError ||
    error instanceof RangeError;
  if (!isOfData) throw error;
  return { issues: [{ path: [], message: error.message }] };
}

/**
 * Converts a value to the JSON to store. The schema must read that JSON as the same value.
 *
 * If there is a way to encode the schema's output, the value is first taken for that output. If
 * that does not fit, or there is no such way, the value is taken for the schema's input: the schema
 * parses it, and its output is stored.
 *
 * @param name The name of the value, for the TypeError about a part that JSON would lose.
 */
export async function encodeShape(shape: Shape, value: unknown, name: string): Promise<Encoded> {
  // The caller's `encode` is made for the schema's output, so it may throw at the schema's input.
  const thrown: Issue[] = [];
  const direct = await encodeOutput(shape, value).catch((error) => {
    thrown.push({ path: [], message: `the way back has thrown: ${wordsOf(error)}` });
    return undefined;
  });
  const first = direct &&
    await checkRoundTrip(shape, direct, name, (read) => isReadAsGiven(read, value));
  if (first && !first.issues) return first;

  const parsed = await decodeShape(shape, value);
  if (!parsed.issues) {
    const output = parsed.value;
    const encoded = await encodeOutput(shape, output) ?? parsed;
    const isSame = (read: unknown) => canonicalText(read) === canonicalText(output);
    const second = await checkRoundTrip(shape, encoded, name, isSame);
    return second.issues && first ? first : second;
  }
  // The value fits neither as output nor as input. The issues are those of the one that it comes
  // closer to.
  const isCloser = parsed.issues.length < (first?.issues?.length ?? Infinity) &&
    parsed.issues.every(({ path }) => path.length > 0);
  return first && !isCloser ? first : { issues: [...parsed.issues, ...thrown] };
}

/** The JSON of an encoded value, if the schema reads that JSON as the same value. */
async function checkRoundTrip(
  shape: Shape,
  encoded: Checked,
  name: string,
  isAsItWas: (read: unknown) => boolean,
): Promise<Encoded> {
  if (encoded.issues) return encoded;
  const json = JSON.parse(stringify(name, withDigits(encoded.value)) ?? "null");
  const read = await decodeShape(shape, json);
  if (read.issues) {
    const hint = "as JSON holds it: a codec, or encode, can make JSON of what does not fit";
    return {
      issues: read.issues.map(({ path, message }) => ({ path, message: `${message} (${hint})` })),
    };
  }
  if (isAsItWas(read.value)) return { value: json, read: read.value };
  const message = "what the schema makes of it, it makes something else of when that is read: " +
    "a codec, or encode, can make it read the same";
  return { issues: [{ path: [], message }] };
}

/** The method of zod's schemas that converts their output to their input. */
interface ZodSchema {
  safeEncodeAsync?(
    value: unknown,
  ): Promise<{ data?: unknown; error?: { readonly issues: readonly StandardIssue[] } }>;
}

/** Converts the schema's output to its input; undefined if there is no way to do that. */
async function encodeOutput(
  { schema, encode }: Shape,
  value: unknown,
): Promise<Checked | undefined> {
  if (encode !== undefined) return { value: await encode(value as never) };
  const zod = schema as ZodSchema;
  if (typeof zod.safeEncodeAsync !== "function") return undefined;
  try {
    const { data, error } = await zod.safeEncodeAsync(value);
    return checkedOf(error ?? { value: data });
  } catch (error) {
    // zod cannot encode through a transform, which has one direction only.
    if ((error as { name?: unknown } | null)?.name === "ZodEncodeError") return undefined;
    throw error;
  }
}

function checkedOf(result: StandardResult<unknown>): Checked {
  if (result.issues === undefined) return result;
  return {
    issues: result.issues.map(({ message, path = [] }) => ({
      message,
      // Array.from() returns a plain array. map() would keep the class of a library's own array.
      path: Array.from(path, (key) => typeof key === "object" ? key.key : key),
    })),
  };
}
