import { CATALOGUE } from "./_parser.ts";
import type { MessageCatalogue } from "./catalogue.ts";
import { invalid } from "../lib/invalid.ts";
import { checkStreamName } from "../names/_check.ts";
import { isPlain } from "../lib/plain.ts";
import type { Message, MessageInput, Metadata } from "../types.ts";

/**
 * Gives a message to write the metadata that says which message caused it.
 *
 * As Eventide's `follow`: the cause is the previous message's place (`causationMessageStreamName`,
 * `causationMessagePosition`, `causationMessageGlobalPosition`); its `correlationStreamName` and
 * `replyStreamName` are taken over, or taken away where it has none; so are its `properties`, but for
 * those that are `local`. What else the message's metadata says stays.
 *
 * @example
 * ```ts
 * import { follow, readLastMessage, write } from "@messagedb/client";
 *
 * const cause = await write(sql, "account:command-123", { type: "Deposit", data: { amount: 11 } })
 *   .then(() => readLastMessage(sql, "account:command-123"));
 * const deposited = { type: "Deposited", data: { amount: 11 } };
 * await write(sql, "account-123", follow(cause!, deposited));
 * ```
 *
 * @typeParam Input The message, or what else is decided.
 * @param previous The message that is the cause, as it was read.
 * @param message The message to write; of a list each one, and none stays none: what was decided, whatever it is.
 * @returns A copy of it, with that metadata.
 * @throws {TypeError} If the previous message is none.
 */
export function follow<Input extends MessageInput | readonly MessageInput[] | null | undefined>(
  previous: Message,
  message: Input,
): Input {
  if (typeof previous !== "object" || previous === null) {
    throw invalid("previous", previous, "a message that was read");
  }
  if (message == null) return message;
  if (Array.isArray(message)) return message.map((it) => followOne(previous, it)) as never;
  return followOne(previous, message as MessageInput) as Input;
}

function followOne(previous: Message, message: MessageInput): MessageInput {
  const { correlationStreamName, replyStreamName, properties } = previous.metadata ?? {};
  return withMetadata(message, {
    ...message.metadata,
    ...propertiesOf(message.metadata?.properties, properties),
    causationMessageStreamName: previous.streamName,
    causationMessagePosition: previous.position,
    causationMessageGlobalPosition: previous.globalPosition,
    correlationStreamName,
    replyStreamName,
  });
}

/**
 * Gives a message to write the stream that its conversation is of: what follows from it carries that on,
 * and `readCategory` finds all of it by its `correlation`.
 *
 * @example
 * ```ts
 * import { correlate, readCategory, write } from "@messagedb/client";
 *
 * const withdraw = { type: "Withdraw", data: { amount: 5 } };
 * await write(sql, "account:command-123", correlate(withdraw, "transfer-7"));
 * await readCategory(sql, "account:command", { correlation: "transfer" }); // one message
 * ```
 *
 * @typeParam Input The message.
 * @param message The message to write.
 * @param streamName The stream: `"transfer-7"`.
 * @returns A copy of it, with `correlationStreamName` in its metadata.
 * @throws {TypeError} If the message is none, or the name no stream's.
 */
export function correlate<Input extends MessageInput>(message: Input, streamName: string): Input {
  checkStreamName(streamName);
  if (typeof message !== "object" || message === null) {
    throw invalid("message", message, "an object with a type");
  }
  return withMetadata(message, { ...message.metadata, correlationStreamName: streamName });
}

/** A copy that the same catalogue has made. */
function withMetadata<Input extends MessageInput>(message: Input, metadata: Metadata): Input {
  const value = (message as Partial<MessageCatalogue>)[CATALOGUE];
  const copy = { ...message, metadata };
  return value ? Object.defineProperty(copy, CATALOGUE, { value }) : copy;
}

/** Eventide's properties, each an object with its value, and whether it is the one message's alone. */
function propertiesOf(own: unknown, previous: unknown): Metadata {
  if (!isPlain(previous)) return {};
  const inherited = Object.entries(previous).filter(([, property]) => {
    return (property as { readonly local?: unknown } | null)?.local !== true;
  });
  if (inherited.length === 0) return {};
  return { properties: { ...own as object, ...Object.fromEntries(inherited) } };
}
