import { checkOptions } from "../names/_check.ts";
import type { Message, MessageInput } from "../types.ts";
import type { Definitions } from "./_definitions.ts";
import { makeParser } from "./_make_parser.ts";
import { messageParserOf } from "./_parse.ts";
import { CATALOGUE } from "./_parser.ts";
import type { MessageCatalogue } from "./catalogue.ts";
import type { Codec } from "./codec.ts";
import type {
  DefineMessagesOptions,
  ForgottenMessage,
  ForgottenMessages,
  MessageConstructor,
  MessageConstructorOptions,
  TypedMessage,
  TypedMessageInput,
  UnknownMessage,
  UnknownTypes,
} from "./definition.ts";
import type { MessageParser } from "./message_parser.ts";

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

/**
 * The data of a message to write: the schema's input, or its output if the definition has `encode`
 * or the schema is one of zod's.
 *
 * @internal
 */
type InputData<Definition> =
  | TypesOf<SchemaOf<Definition>>["input"]
  | (Definition extends { readonly encode: (...parameters: never) => unknown }
    ? OutputData<Definition>
    : SchemaOf<Definition> extends { safeEncodeAsync(...parameters: never): unknown }
      ? OutputData<Definition>
    : never);

/**
 * The messages of a catalogue as they are read: a union that `type` tells apart.
 *
 * @internal
 */
type OutputOf<Defined, Unknown, Forgotten> =
  | {
    [Type in keyof Defined & string]: TypedMessage<Type, OutputData<Defined[Type]>>;
  }[keyof Defined & string]
  | ("pass" extends Unknown ? UnknownMessage : never)
  | ("pass" extends Forgotten ? ForgottenMessage : never);

/**
 * The messages of a catalogue as they are written: a union that `type` tells apart.
 *
 * @internal
 */
type InputOf<Defined> = {
  [Type in keyof Defined & string]: TypedMessageInput<Type, InputData<Defined[Type]>>;
}[keyof Defined & string];

/**
 * A catalogue with a message constructor for each type, and `parse` and `safeParse`.
 *
 * @typeParam Defined The definitions, by type.
 * @typeParam Unknown What a read does with a type that is not defined.
 * @typeParam Forgotten What a read does with a forgotten message; `never` without a codec: there is none.
 */
export type Messages<
  Defined,
  Unknown extends UnknownTypes = "refuse",
  Forgotten extends ForgottenMessages = never,
> =
  & MessageCatalogue<OutputOf<Defined, Unknown, Forgotten>, InputOf<Defined>>
  & MessageParser<
    | OutputOf<Defined, Unknown, Forgotten>
    | ("skip" extends Unknown | Forgotten ? undefined : never)
  >
  & {
    readonly [Type in keyof Defined & string]: MessageConstructor<Type, InputData<Defined[Type]>>;
  };

/**
 * A message of a catalogue as it is read. `MessageOf<typeof account>` is the union of all types,
 * `MessageOf<typeof account, "Deposited">` is one type.
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
 * Defines the message types of a program: a schema for the data of each type.
 *
 * The result is a catalogue with a message constructor for each type. A constructor refuses data that a
 * write would refuse, unless the schema answers by a promise. Every write parses a message that a
 * constructor made. With `{ messages }` a write takes no other messages, and a read, a subscription or a
 * consumer parses the messages that it reads: they are a union that `type` tells apart. `parse` and
 * `safeParse` of the catalogue parse a message from anywhere else, for example from an `EventSource`. A
 * write refuses data that the schema could not read again. A copy of a message (`{ ...message }`) does
 * not belong to the catalogue any more.
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
 * @typeParam Forgotten What a read does with a forgotten message.
 * @typeParam Coded The codec; with undefined if there is none.
 * @param definitions For each type a schema (zod, valibot, arktype, any Standard Schema), or an
 * object with one.
 * @param options What to do with undefined types, and a codec for the data.
 * @returns The catalogue, with a constructor for each type.
 * @throws {TypeError} If a definition has no schema, or two definitions have the same type or
 * alias.
 */
export function defineMessages<
  const Defined extends Definitions,
  const Unknown extends UnknownTypes = "refuse",
  const Forgotten extends ForgottenMessages = "pass",
  Coded extends Codec | undefined = Codec | undefined,
>(
  definitions: Defined,
  options: DefineMessagesOptions<Unknown, Forgotten, Coded> = {},
): Messages<Defined, Unknown, undefined extends Coded ? never : Forgotten> {
  const parser = makeParser(definitions, options);
  const constructors = Object.keys(definitions).map((type) => {
    const construct = (
      data: unknown = {},
      options: MessageConstructorOptions = {},
    ): MessageInput => {
      checkOptions(options, { id: true, metadata: true });
      const { id, metadata } = options;
      const message = {
        type,
        data,
        ...(id !== undefined && { id }),
        ...(metadata !== undefined && { metadata }),
      };
      parser.check(message);
      return Object.defineProperty(message, CATALOGUE, { value: parser });
    };
    return [type, construct] as const;
  });
  const { parse, safeParse } = messageParserOf(parser);
  return Object.defineProperties(Object.fromEntries(constructors), {
    [CATALOGUE]: { value: parser },
    parse: { value: parse },
    safeParse: { value: safeParse },
  }) as never;
}
