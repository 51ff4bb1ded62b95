import type { Message, MessageInput } from "../types.ts";
import { makeParser } from "./_make_parser.ts";
import { CATALOGUE } from "./_parser.ts";
import type { MessageCatalogue } from "./catalogue.ts";
import type {
  DefineMessagesOptions,
  Definitions,
  MessageConstructor,
  MessageConstructorOptions,
  TypedMessage,
  TypedMessageInput,
  UnknownMessage,
  UnknownTypes,
} from "./definition.ts";

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
  const parser = makeParser(definitions, options);
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
