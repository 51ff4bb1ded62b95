import type { Issue } from "../errors.ts";
import { canonicalText, isReadAsGiven, withDigits } from "../lib/plain.ts";
import { recovering, whenReady } from "../lib/promise.ts";
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
  return recovering(
    () => whenReady(schema["~standard"].validate(stored), checkedOf),
    checkedThrow,
  );
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
 * @returns No promise if neither the schema nor `encode` answers by one.
 */
export function encodeShape(
  shape: Shape,
  value: unknown,
  name: string,
): Encoded | Promise<Encoded> {
  // The caller's `encode` is made for the schema's output, so it may throw at the schema's input.
  const thrown: Issue[] = [];
  const direct = recovering(() => encodeOutput(shape, value), (error) => {
    thrown.push({ path: [], message: `the way back has thrown: ${wordsOf(error)}` });
    return undefined;
  });
  const first = whenReady(direct, (direct) => {
    return direct && checkRoundTrip(shape, direct, name, (read) => isReadAsGiven(read, value));
  });
  return whenReady(first, (first): Encoded | Promise<Encoded> => {
    if (first && !first.issues) return first;
    return whenReady(decodeShape(shape, value), (parsed) => {
      if (!parsed.issues) return encodeParsed(shape, parsed, name, first);
      // The value fits neither as output nor as input. The issues are those of the one that it comes
      // closer to.
      const isCloser = parsed.issues.length < (first?.issues?.length ?? Infinity) &&
        parsed.issues.every(({ path }) => path.length > 0);
      return first && !isCloser ? first : { issues: [...parsed.issues, ...thrown] };
    });
  });
}

/** Encodes what the schema has parsed. If that fails, the issues are those of the first try, if there was one. */
function encodeParsed(
  shape: Shape,
  parsed: { readonly value: unknown },
  name: string,
  first: Encoded | undefined,
): Encoded | Promise<Encoded> {
  const output = parsed.value;
  const isSame = (read: unknown) => canonicalText(read) === canonicalText(output);
  const second = whenReady(encodeOutput(shape, output), (encoded) => {
    return checkRoundTrip(shape, encoded ?? parsed, name, isSame);
  });
  return whenReady(second, (second) => second.issues && first ? first : second);
}

/** The JSON of an encoded value, if the schema reads that JSON as the same value. */
function checkRoundTrip(
  shape: Shape,
  encoded: Checked,
  name: string,
  isAsItWas: (read: unknown) => boolean,
): Encoded | Promise<Encoded> {
  if (encoded.issues) return encoded;
  const json = JSON.parse(stringify(name, withDigits(encoded.value)) ?? "null");
  return whenReady(decodeShape(shape, json), (read): Encoded => {
    if (read.issues) {
      const hint = "as JSON holds it: a codec, or encode, can make JSON of what does not fit";
      return {
        issues: read.issues.map(({ path, message }) => ({
          path,
          message: `${message} (${hint})`,
        })),
      };
    }
    if (isAsItWas(read.value)) return { value: json, read: read.value };
    const message = "the schema reads its own output as another value: " +
      "a codec, or encode, can make it read the same";
    return { issues: [{ path: [], message }] };
  });
}

/** What zod's methods that end in "Encode" answer. */
interface ZodEncoded {
  readonly data?: unknown;
  readonly error?: { readonly issues: readonly StandardIssue[] } | undefined;
}

/** The methods of zod's schemas that convert their output to their input. */
interface ZodSchema {
  safeEncode?(value: unknown): ZodEncoded;
  safeEncodeAsync(value: unknown): Promise<ZodEncoded>;
}

/** Converts the schema's output to its input; undefined if there is no way to do that. */
function encodeOutput(
  { schema, encode }: Shape,
  value: unknown,
): Checked | undefined | Promise<Checked | undefined> {
  if (encode !== undefined) return whenReady(encode(value as never), (value) => ({ value }));
  const zod = schema as StandardSchema & ZodSchema;
  if (typeof zod.safeEncode !== "function") return undefined;
  return recovering(
    () => zodEncodedOf(zod.safeEncode!(value)),
    (error) => {
      if (isOneWay(error)) return undefined;
      // zod throws if a part of the schema answers by a promise.
      return zod.safeEncodeAsync(value).then(zodEncodedOf, (error) => {
        if (isOneWay(error)) return undefined;
        throw error;
      });
    },
  );
}

function zodEncodedOf({ data, error }: ZodEncoded): Checked {
  return checkedOf(error ?? { value: data });
}

/** Whether zod cannot encode because the schema has a transform, which has one direction only. */
function isOneWay(error: unknown): boolean {
  return (error as { name?: unknown } | null)?.name === "ZodEncodeError";
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
