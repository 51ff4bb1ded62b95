import { CATALOGUE, type Codec, type MessageCatalogue, type Parser } from "./catalogue.ts";
import { invalid } from "../lib/invalid.ts";
import { checkFunction, checkName, checkOptions } from "../names/_check.ts";
import { onceThere } from "../lib/promise.ts";
import { type Checked, decodeShape, encodeShape, isSchema, type StandardSchema } from "./schema.ts";
import { InvalidMessageError, type Issue, wordsOf } from "../errors.ts";
import type { Message, MessageInput, Metadata } from "../types.ts";

/** What a type's messages are: a schema of their data, or that and what there is to know besides. */
export type MessageDefinition = StandardSchema | DetailedDefinition;

/** A schema, and how older messages come to fit it. */
export interface DetailedDefinition {
  /** The schema of the data: what it takes is JSON, as it is stored. */
  readonly schema: StandardSchema;
  /**
   * Makes of what the schema makes what it takes: `(data) => ({ at: data.at.toISOString() })`. A codec of
   * zod's needs none.
   *
   * @default what the schema makes is stored, if it reads the same again: a `Date` as ISO 8601, a `bigint` as its digits
   */
  // Its parameter is the schema's output, which one object of many definitions cannot tell it.
  // deno-lint-ignore no-explicit-any
  readonly encode?: ((data: any) => unknown) | undefined;
  /**
   * Other types that messages of this one were written with: they are read as this one.
   *
   * @default none
   */
  readonly aliases?: readonly string[] | undefined;
  /**
   * How older shapes become the one that the schema is for, one version at a time: the first makes
   * version 2 of version 1. Messages are written with the `schemaVersion` that is one more than there
   * are of these.
   *
   * @default none: a `schemaVersion` says nothing
   */
  readonly upcasts?: readonly Upcast[] | undefined;
}

/**
 * Lifts data by one version: a function, or that and a guard, which decides whether a message has the
 * older shape where no `schemaVersion` tells. Without both it is version 1.
 */
export type Upcast = Lift | GuardedUpcast;

/** Makes data of the next version. */
export type Lift = {
  // A method's parameters may be narrower: it says what data it takes.
  lift(data: unknown, message: Message): unknown;
}["lift"];

/** A lift, and whether to. */
export interface GuardedUpcast {
  /** Whether the data has the older shape; asked where the message has no `schemaVersion`. */
  when(data: unknown, message: Message): boolean;
  /** Makes data of the next version. */
  lift(data: unknown, message: Message): unknown;
}

/** Options of `defineMessages`. */
export interface DefineMessagesOptions<Unknown extends UnknownTypes = UnknownTypes> {
  /**
   * What a read does with a type that is not defined: `"refuse"` throws an `InvalidMessageError`,
   * `"skip"` leaves the message out, `"pass"` gives it as an `UnknownMessage`. A write refuses it.
   *
   * @default "refuse"
   */
  readonly unknown?: Unknown | undefined;
  /**
   * Makes of the data what is stored, and of that the data: to encrypt it, for instance.
   *
   * @default none
   */
  readonly codec?: Codec | undefined;
}

/** What a read does with a type that is not defined. */
export type UnknownTypes = "refuse" | "skip" | "pass";

/** A message of a type that is known. */
export interface TypedMessage<Type extends string, Data> extends Message<Data> {
  /** The type, by its name now. */
  readonly type: Type;
}

/** A message to write, of a type that is known. */
export interface TypedMessageInput<Type extends string, Data> extends MessageInput {
  /** The type, by its name now. */
  readonly type: Type;
  /** The payload: what the schema takes, or makes where there is a way back. */
  readonly data: Data;
}

/** A message of a type that the catalogue does not define, where it is told to pass those. */
export interface UnknownMessage extends Message {
  readonly type: "$unknown";
  /** The type that it is stored with. */
  readonly storedType: string;
}

/** Makes a message of a type: its data, and its id and metadata where it has any. */
export interface MessageConstructor<Type extends string, Data> {
  /** With an id, which `synchronize` asks for. */
  (
    data: Data,
    options: MessageConstructorOptions & { readonly id: string },
  ): TypedMessageInput<Type, Data> & { readonly id: string };
  /** With a new id, or one that may be there. */
  (
    ...parameters: Record<never, never> extends Data
      ? [data?: Data, options?: MessageConstructorOptions]
      : [data: Data, options?: MessageConstructorOptions]
  ): TypedMessageInput<Type, Data>;
}

/** What a message has besides its type and data. */
export type MessageConstructorOptions = Pick<MessageInput, "id" | "metadata">;

type Definitions = Readonly<Record<string, MessageDefinition>>;

type SchemaOf<Definition> = Definition extends { readonly "~standard": unknown } ? Definition
  : Definition extends { readonly schema: infer Schema } ? Schema
  : never;

type TypesOf<Schema> = Schema extends {
  readonly "~standard": {
    readonly types?: { readonly input: infer Input; readonly output: infer Output } | undefined;
  };
} ? { input: Input; output: Output }
  : never;

type OutputData<Definition> = TypesOf<SchemaOf<Definition>>["output"];

/** What the schema takes; where there is a way back, also what it makes. */
type InputData<Definition> =
  | TypesOf<SchemaOf<Definition>>["input"]
  | (Definition extends { readonly encode: (...parameters: never) => unknown }
    ? OutputData<Definition>
    : SchemaOf<Definition> extends { safeEncodeAsync(...parameters: never): unknown }
      ? OutputData<Definition>
    : never);

type OutputOf<Defined, Unknown> =
  | {
    [Type in keyof Defined & string]: TypedMessage<Type, OutputData<Defined[Type]>>;
  }[keyof Defined & string]
  | ("pass" extends Unknown ? UnknownMessage : never);

type InputOf<Defined> = {
  [Type in keyof Defined & string]: TypedMessageInput<Type, InputData<Defined[Type]>>;
}[keyof Defined & string];

/** A catalogue with a constructor for each type. */
export type Messages<Defined, Unknown extends UnknownTypes = "refuse"> =
  & MessageCatalogue<OutputOf<Defined, Unknown>, InputOf<Defined>>
  & {
    readonly [Type in keyof Defined & string]: MessageConstructor<Type, InputData<Defined[Type]>>;
  };

/**
 * A message of a catalogue as it is read: `MessageOf<typeof account>` is the union of all,
 * `MessageOf<typeof account, "Deposited">` one of them.
 */
export type MessageOf<
  Catalogue extends MessageCatalogue,
  Type extends string = string,
> = Catalogue extends MessageCatalogue<infer Output> ? Extract<Output, { readonly type: Type }>
  : never;

/** A message of a catalogue as it is written. */
export type MessageInputOf<
  Catalogue extends MessageCatalogue,
  Type extends string = string,
> = Catalogue extends MessageCatalogue<Message, infer Input>
  ? Extract<Input, { readonly type: Type }>
  : never;

/**
 * Defines the messages that there are: a schema for the data of each type.
 *
 * What it makes has a constructor for each type. A message that a constructor has made is parsed when
 * it is written, by any write; with `{ messages }` a write takes no other message, and a read, a
 * subscription or a consumer parses what it reads: the result is a union that `type` tells apart. What
 * could not be read again is not written. A copy of a message (`{ ...message }`) is one that no
 * catalogue has made.
 *
 * @example
 * ```ts
 * import { defineMessages, readStream, write } from "@messagedb/client";
 * import * as z from "zod";
 *
 * const account = defineMessages({
 *   Deposited: z.object({ amount: z.number() }),
 *   Closed: z.object({ reason: z.string() }),
 * });
 *
 * await write(sql, "account-123", account.Deposited({ amount: 11 }));
 * for (const message of await readStream(sql, "account-123", { messages: account })) {
 *   if (message.type === "Deposited") console.log(message.data.amount + 1); // 12
 * }
 * ```
 *
 * @typeParam Defined The definitions, by type.
 * @typeParam Unknown What a read does with a type that is not defined.
 * @param definitions A schema for each type (zod, valibot, arktype, any Standard Schema), or an object with one.
 * @param options What to do with other types, and with the data on its way.
 * @returns A constructor for each type; the whole is the catalogue.
 * @throws {TypeError} If a definition has no schema, or two have the same type or alias.
 */
export function defineMessages<
  const Defined extends Definitions,
  const Unknown extends UnknownTypes = "refuse",
>(
  definitions: Defined,
  options: DefineMessagesOptions<Unknown> = {},
): Messages<Defined, Unknown> {
  const parser = parserFor(definitions, options);
  const constructors = Object.keys(definitions).map((type) => {
    const construct = (
      data: unknown = {},
      { id, metadata }: MessageConstructorOptions = {},
    ): MessageInput => {
      const message = {
        type,
        data,
        ...(id !== undefined && { id }),
        ...(metadata !== undefined && { metadata }),
      };
      return Object.defineProperty(message, CATALOGUE, { value: parser });
    };
    return [type, construct] as const;
  });
  const catalogue = Object.fromEntries(constructors);
  return Object.defineProperty(catalogue, CATALOGUE, { value: parser }) as unknown as Messages<
    Defined,
    Unknown
  >;
}

/** A definition, checked, with its defaults. */
interface Defined {
  readonly type: string;
  readonly schema: StandardSchema;
  readonly encode: ((data: never) => unknown) | undefined;
  readonly upcasts: readonly Upcast[];
}

function parserFor(definitions: Definitions, options: DefineMessagesOptions): Parser {
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
      return onceThere(data, (data) => {
        const lifted = lift(definition, data, message);
        return onceThere(decodeShape(definition, lifted), (decoded: Checked) => {
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
