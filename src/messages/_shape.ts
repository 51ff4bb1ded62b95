import type { Issue } from "../errors.ts";
import { agrees, canonicalText, withDigits } from "../lib/plain.ts";
import { isPromise } from "../lib/promise.ts";
import { wordsOf } from "../lib/words.ts";
import { stringify } from "./_json.ts";
import type { StandardIssue, StandardResult, StandardSchema } from "./schema.ts";

/** A schema, and the way back from what it makes to what it takes, where it has none of its own. */
export interface Shape {
  readonly schema: StandardSchema;
  readonly encode?: ((value: never) => unknown) | undefined;
}

/** A value that fits, or what is wrong with it. */
export type Checked =
  | { readonly value: unknown; readonly issues?: undefined }
  | { readonly issues: readonly Issue[] };

export function isSchema(value: unknown): value is StandardSchema {
  return typeof (value as StandardSchema | null)?.["~standard"]?.validate === "function";
}

/** What a schema makes of what is stored. */
export function decodeShape({ schema }: Shape, stored: unknown): Checked | Promise<Checked> {
  try {
    const result = schema["~standard"].validate(stored);
    return isPromise(result) ? result.then(checkedOf, checkedThrow) : checkedOf(result);
  } catch (error) {
    return checkedThrow(error);
  }
}

/** A codec may throw at what it is not made for, as BigInt("x") does: that does not fit. */
function checkedThrow(error: unknown): Checked {
  const isOfData = error instanceof TypeError || error instanceof SyntaxError ||
    error instanceof RangeError;
  if (!isOfData) throw error;
  return { issues: [{ path: [], message: error.message }] };
}

/**
 * The JSON that is stored of a value: nothing that the schema would not read again, as it was. What JSON
 * would lose is a TypeError that says so by the name.
 *
 * Where there is a way back, the value is what the schema makes; where that does not fit, and where
 * there is none, it is what the schema takes, and what the schema makes of it is stored.
 */
export async function encodeShape(shape: Shape, value: unknown, name: string): Promise<Checked> {
  // An encode of the caller's may throw at what the schema takes, which it is not made for.
  const thrown: Issue[] = [];
  const direct = await encodeOutput(shape, value).catch((error) => {
    thrown.push({ path: [], message: `the way back has thrown: ${wordsOf(error)}` });
    return undefined;
  });
  const first = direct && await checkRoundTrip(shape, direct, name, (read) => agrees(read, value));
  if (first && !first.issues) return first;

  const parsed = await decodeShape(shape, value);
  if (!parsed.issues) {
    const output = parsed.value;
    const encoded = await encodeOutput(shape, output) ?? parsed;
    const isSame = (read: unknown) => canonicalText(read) === canonicalText(output);
    const second = await checkRoundTrip(shape, encoded, name, isSame);
    return second.issues && first ? first : second;
  }
  // What it is closer to is what it was meant to be.
  const isCloser = parsed.issues.length < (first?.issues?.length ?? Infinity) &&
    parsed.issues.every(({ path }) => path.length > 0);
  return first && !isCloser ? first : { issues: [...parsed.issues, ...thrown] };
}

/** The JSON of what was encoded, if the schema reads that as it was. */
async function checkRoundTrip(
  shape: Shape,
  encoded: Checked,
  name: string,
  isAsItWas: (read: unknown) => boolean,
): Promise<Checked> {
  if (encoded.issues) return encoded;
  const json = JSON.parse(stringify(name, withDigits(encoded.value)) ?? "null");
  const read = await decodeShape(shape, json);
  if (read.issues) {
    const hint = "as JSON holds it: a codec, or encode, can make JSON of what does not fit";
    return {
      issues: read.issues.map(({ path, message }) => ({ path, message: `${message} (${hint})` })),
    };
  }
  if (isAsItWas(read.value)) return { value: json };
  const message = "what the schema makes of it, it makes something else of when that is read: " +
    "a codec, or encode, can make it read the same";
  return { issues: [{ path: [], message }] };
}

/** What zod's schemas have. */
interface ZodSchema {
  safeEncodeAsync?(
    value: unknown,
  ): Promise<{ data?: unknown; error?: { readonly issues: readonly StandardIssue[] } }>;
}

/** Goes the way back; undefined where there is none. */
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
    // A transform of zod's goes one way only.
    if ((error as { name?: unknown } | null)?.name === "ZodEncodeError") return undefined;
    throw error;
  }
}

function checkedOf(result: StandardResult<unknown>): Checked {
  if (result.issues === undefined) return result;
  return {
    issues: result.issues.map(({ message, path = [] }) => ({
      message,
      // A plain array: a library's own kind of one would make that of it again.
      path: Array.from(path, (key) => typeof key === "object" ? key.key : key),
    })),
  };
}
