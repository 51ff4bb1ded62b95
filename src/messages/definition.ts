import type { Message, MessageInput } from "../types.ts";
import type { Codec } from "./codec.ts";
import type { StandardSchema } from "./schema.ts";

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

export type Definitions = Readonly<Record<string, MessageDefinition>>;
