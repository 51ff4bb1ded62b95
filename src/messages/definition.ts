import type { Message, MessageInput } from "../types.ts";
import type { Codec } from "./codec.ts";
import type { StandardSchema } from "./schema.ts";

/**
 * The definition of a message type: a schema of its data, or an object with the schema and more.
 */
export type MessageDefinition = StandardSchema | DetailedDefinition;

/** A schema, how to encode its output, and how to read messages of older versions. */
export interface DetailedDefinition {
  /** The schema of the data. Its input is the JSON that is stored. */
  readonly schema: StandardSchema;
  /**
   * Converts the schema's output to its input: `(data) => ({ at: data.at.toISOString() })`. A zod
   * codec does not need it.
   *
   * @default the output is stored as it is, if the schema reads that as the same: a `Date` as ISO 8601, a `bigint` as its digits
   */
  // Its parameter is the schema's output. An object of many definitions cannot express that.
  // deno-lint-ignore no-explicit-any
  readonly encode?: ((data: any) => unknown) | undefined;
  /**
   * Other types that messages of this type were written with. They are read as this type.
   *
   * @default none
   */
  readonly aliases?: readonly string[] | undefined;
  /**
   * Lift data of older versions to the version of the schema, one version at a time: the first
   * upcast lifts version 1 to version 2. With two upcasts, messages are written with the
   * `schemaVersion` 3.
   *
   * @default none: a `schemaVersion` has no meaning
   */
  readonly upcasts?: readonly Upcast[] | undefined;
}

/**
 * Lifts data by one version: a function, or an object with that function and a guard. If a message
 * has no `schemaVersion`, the guard decides whether its data has the older shape. Without a guard,
 * such a message has version 1.
 */
export type Upcast = Lift | GuardedUpcast;

/** Converts data to the next version. */
export type Lift = {
  // As a method, because the parameter of a method may be narrower: a lift can say which data it
  // takes.
  lift(data: unknown, message: Message): unknown;
}["lift"];

/** A lift, and a guard that tells which data to lift. */
export interface GuardedUpcast {
  /** Whether the data has the older shape. Called only if the message has no `schemaVersion`. */
  when(data: unknown, message: Message): boolean;
  /** Converts data to the next version. */
  lift(data: unknown, message: Message): unknown;
}

/**
 * Options of `defineMessages`.
 *
 * @typeParam Unknown What a read does with a type that is not defined.
 * @typeParam Forgotten What a read does with a message that is forgotten.
 * @typeParam Coded The codec; with undefined if there may be none.
 */
export interface DefineMessagesOptions<
  Unknown extends UnknownTypes = UnknownTypes,
  Forgotten extends ForgottenMessages = ForgottenMessages,
  Coded extends Codec | undefined = Codec,
> {
  /**
   * What a read does with a type that is not defined: `"refuse"` throws an `InvalidMessageError`,
   * `"skip"` leaves the message out, `"pass"` returns it as an `UnknownMessage`. A write always
   * refuses it.
   *
   * @default "refuse"
   */
  readonly unknown?: Unknown | undefined;
  /**
   * Converts data on its way to the store and back, for example to encrypt it.
   *
   * @default none
   */
  readonly codec?: Coded | undefined;
  /**
   * What a read does with a message that is forgotten, because the codec's `decode` has answered
   * `FORGOTTEN`: `"pass"` returns it as a `ForgottenMessage`, `"skip"` leaves it out.
   *
   * @default "pass"
   */
  readonly forgotten?: Forgotten | undefined;
}

/** What a read does with a type that is not defined. */
export type UnknownTypes = "refuse" | "skip" | "pass";

/** What a read does with a message that is forgotten. */
export type ForgottenMessages = "pass" | "skip";

/** A message of a type that is defined. */
export interface TypedMessage<Type extends string, Data> extends Message<Data> {
  /** The type, by its name now. */
  readonly type: Type;
}

/** A message to write, of a type that is defined. */
export interface TypedMessageInput<Type extends string, Data> extends MessageInput {
  /** The type, by its name now. */
  readonly type: Type;
  /** The payload: the schema's input or, if there is a way to encode it, the schema's output. */
  readonly data: Data;
}

/**
 * A message of a type that the catalogue does not define, from a catalogue with `unknown: "pass"`.
 */
export interface UnknownMessage extends Message {
  /** The same for all undefined types: it tells these messages from all others. */
  readonly type: "$unknown";
  /** The type that the message is stored with. */
  readonly storedType: string;
}

/** A message whose data nobody can have any more: the codec's `decode` has answered `FORGOTTEN`. */
export interface ForgottenMessage extends Message<null> {
  /** The same for all forgotten messages: it tells these messages from all others. */
  readonly type: "$forgotten";
  /** The message's own type, by its name now. */
  readonly storedType: string;
}

/**
 * Makes a message of one type from its data and, if you give them, its id and its metadata.
 *
 * It throws the `InvalidMessageError` or the `TypeError` that a write of the data would throw. If the schema, or
 * `encode`, answers by a promise, the constructor cannot wait for it: then only the write throws. The message has
 * the data as it was given, and the write parses it again.
 */
export interface MessageConstructor<Type extends string, Data> {
  /** Makes a message with the given id, which `synchronize` needs. */
  (
    data: Data,
    options: MessageConstructorOptions & { readonly id: string },
  ): TypedMessageInput<Type, Data> & { readonly id: string };
  /** Makes a message that gets a new id when it is written, unless the options have one. */
  (
    ...parameters: Record<never, never> extends Data
      ? [data?: Data, options?: MessageConstructorOptions]
      : [data: Data, options?: MessageConstructorOptions]
  ): TypedMessageInput<Type, Data>;
}

/** The members of a message besides its type and its data. */
export type MessageConstructorOptions = Pick<MessageInput, "id" | "metadata">;
