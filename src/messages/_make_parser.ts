import { InvalidMessageError, type Issue } from "../errors.ts";
import { invalid } from "../lib/invalid.ts";
import { whenReady } from "../lib/promise.ts";
import { wordsOf } from "../lib/words.ts";
import { checkFunction, checkName, checkOptions } from "../names/_check.ts";
import type { Message, Metadata } from "../types.ts";
import type { Parser } from "./_parser.ts";
import { type Checked, decodeShape, encodeShape, isSchema } from "./_shape.ts";
import type {
  DefineMessagesOptions,
  Definitions,
  DetailedDefinition,
  MessageDefinition,
  Upcast,
} from "./definition.ts";
import type { StandardSchema } from "./schema.ts";

/** A definition, checked, with its defaults. */
export interface Defined {
  readonly type: string;
  readonly schema: StandardSchema;
  readonly encode: ((data: never) => unknown) | undefined;
  readonly upcasts: readonly Upcast[];
}

export function makeParser(definitions: Definitions, options: DefineMessagesOptions): Parser {
  checkOptions(options);
  const { unknown = "refuse", codec } = options;
  if (!["refuse", "skip", "pass"].includes(unknown)) {
    throw invalid("unknown", unknown, '"refuse", "skip" or "pass"');
  }
  if (codec !== undefined) {
    checkFunction("codec.encode", codec.encode);
    checkFunction("codec.decode", codec.decode);
  }
  const defined = new Map<string, Defined>();
  const byStoredType = new Map<string, Defined>();
  if (typeof definitions !== "object" || definitions === null) {
    throw invalid("definitions", definitions, "an object with a schema for each type");
  }
  for (const [type, definition] of Object.entries(definitions)) {
    const { aliases, ...checked } = checkDefinition(type, definition);
    defined.set(type, checked);
    for (const storedType of [type, ...aliases]) {
      checkName("type", storedType);
      if (byStoredType.has(storedType)) {
        throw invalid("type", storedType, "given once, as a type or an alias");
      }
      // A catalogue with a then() would be taken for a promise.
      if (storedType === "$unknown" || storedType === "then") {
        throw invalid("type", storedType, "another name, since this one has a meaning already");
      }
      byStoredType.set(storedType, checked);
    }
  }
  const names = () => [...defined.keys()].map((type) => `"${type}"`).join(", ");

  return {
    codec,
    typeOf: (storedType) => byStoredType.get(storedType)?.type,
    storedTypes(types) {
      if (types === null) return unknown === "skip" ? [...byStoredType.keys()] : null;
      return types.flatMap((type) => {
        const stored = [...byStoredType].filter(([, it]) => it.type === type);
        return stored.length === 0 ? [type] : stored.map(([name]) => name);
      });
    },

    async encode(message, streamName) {
      if (typeof message !== "object" || message === null) {
        throw invalid("message", message, "an object with a type");
      }
      const { type, data, metadata = null } = message;
      if (typeof metadata !== "object" || Array.isArray(metadata)) {
        throw invalid("metadata", metadata, "an object");
      }
      // One that was read has a position, which is not where it is to be written.
      const { position, ...rest } = message as Message;
      const input = position === undefined ? message : rest;
      const definition = defined.get(type);
      if (definition === undefined) {
        throw new InvalidMessageError(input, streamName, [undefinedType(type, names())]);
      }
      const encoded = await encodeShape(definition, data, "data");
      if (encoded.issues) throw new InvalidMessageError(input, streamName, encoded.issues);
      const { length } = definition.upcasts;
      const stamped: Metadata | null = length === 0
        ? metadata
        : { ...metadata, schemaVersion: String(length + 1) };
      const coded = { type, streamName, metadata: stamped, isSnapshot: false };
      const stored = codec ? await codec.encode(encoded.value, coded) : encoded.value;
      return { ...message, data: stored, metadata: stamped };
    },

    decode(message) {
      const definition = byStoredType.get(message.type);
      if (definition === undefined) {
        if (unknown === "skip") return undefined;
        if (unknown === "pass") {
          return { ...message, type: "$unknown", storedType: message.type } as Message;
        }
        throw new InvalidMessageError(message, message.streamName, [
          undefinedType(message.type, names()),
        ]);
      }
      const { type, streamName, metadata } = message;
      const data = codec
        ? codec.decode(message.data, { type, streamName, metadata, isSnapshot: false })
        : message.data;
      return whenReady(data, (data) => {
        const lifted = lift(definition, data, message);
        return whenReady(decodeShape(definition, lifted), (decoded: Checked) => {
          if (decoded.issues) throw new InvalidMessageError(message, streamName, decoded.issues);
          return { ...message, type: definition.type, data: decoded.value };
        });
      });
    },
  };
}

function checkDefinition(
  type: string,
  definition: MessageDefinition,
): Defined & { readonly aliases: readonly string[] } {
  const detailed = isSchema(definition) ? { schema: definition } : definition as DetailedDefinition;
  const { schema, encode, aliases = [], upcasts = [] } = detailed ?? {};
  if (!isSchema(schema)) {
    throw invalid(type, definition, "a schema (of zod, valibot, arktype, …) or an object with one");
  }
  if (encode !== undefined) checkFunction(`${type}.encode`, encode);
  if (!Array.isArray(aliases)) throw invalid(`${type}.aliases`, aliases, "an array of types");
  if (!Array.isArray(upcasts)) throw invalid(`${type}.upcasts`, upcasts, "an array of functions");
  for (const upcast of upcasts as readonly Upcast[]) {
    if (typeof upcast === "function") continue;
    checkFunction(`${type}.upcasts.when`, upcast?.when);
    checkFunction(`${type}.upcasts.lift`, upcast?.lift);
  }
  return { type, schema, encode, aliases, upcasts };
}

function undefinedType(type: unknown, defined: string): Issue {
  return { path: [], message: `the type "${type}" is not defined; those that are: ${defined}` };
}

/** Brings the data to the shape that the schema is for, version by version. */
function lift({ upcasts }: Defined, data: unknown, message: Message): unknown {
  if (upcasts.length === 0) return data;
  const { streamName, metadata } = message;
  const stamp: unknown = metadata?.schemaVersion;
  const fail = (words: string, options?: ErrorOptions): never => {
    throw new InvalidMessageError(message, streamName, [{ path: [], message: words }], options);
  };
  const isNumber = /^[1-9]\d*$/.test(String(stamp)) && !Array.isArray(stamp);
  const version = stamp == null ? undefined : isNumber ? Number(stamp) : NaN;
  const newest = upcasts.length + 1;
  if (version !== undefined && !(version <= newest)) {
    fail(`its schemaVersion is ${JSON.stringify(stamp)}, and those up to "${newest}" are defined`);
  }
  if (version === newest) return data;
  // What a lift changes must not be what the next attempt lifts again.
  data = structuredClone(data);
  upcasts.forEach((upcast, at) => {
    const { when, lift } = typeof upcast === "function"
      ? { when: () => true, lift: upcast }
      : upcast;
    try {
      const isOlder = version === undefined ? when(data, message) : version <= at + 1;
      if (isOlder) data = lift(data, message);
    } catch (error) {
      fail(`version ${at + 1} cannot be lifted: ${wordsOf(error)}`, { cause: error });
    }
  });
  return data;
}
