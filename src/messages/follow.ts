import { causationOf } from "./_causation.ts";
import { checkMessage } from "./_check_message.ts";
import { CATALOGUE } from "./_parser.ts";
import type { MessageCatalogue } from "./catalogue.ts";
import { checkName, checkObject } from "../names/_check.ts";
import { isPlain } from "../lib/plain.ts";
import type { Message, MessageInput, Metadata } from "../types.ts";

/**
 * Adds metadata to a message to write: the metadata that says which message caused it.
 *
 * As Eventide's `follow`: the cause is the place of the previous message
 * (`causationMessageStreamName`, `causationMessagePosition`, `causationMessageGlobalPosition`). Its
 * `correlationStreamName` and `replyStreamName` replace those of the message; if it has none, those
 * of the message are removed. Its `properties` are added to those of the message, without those
 * that are `local`. The rest of the message's metadata stays.
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
 * @typeParam Input The message, the list of messages, `null` or `undefined`.
 * @param previous The message that is the cause, as it was read.
 * @param message What was decided: the message to write, a list of messages, or nothing (`null` or
 * `undefined`).
 * @returns A copy of each message, with that metadata. `null` and `undefined` come back as they
 * are.
 * @throws {TypeError} If the previous message is not a message.
 */
export function follow<Input extends MessageInput | readonly MessageInput[] | null | undefined>(
  previous: Message,
  message: Input,
): Input {
  checkObject("previous", previous, "a message that was read");
  if (message == null) return message;
  if (Array.isArray(message)) return message.map((it) => followOne(previous, it)) as never;
  return followOne(previous, message as MessageInput) as Input;
}

function followOne(previous: Message, message: MessageInput): MessageInput {
  const { correlationStreamName, replyStreamName, properties } = previous.metadata ?? {};
  return withMetadata(message, {
    ...message.metadata,
    ...propertiesOf(message.metadata?.properties, properties),
    ...causationOf(previous),
    correlationStreamName,
    replyStreamName,
  });
}

/**
 * Adds metadata to a message to write: the stream that the conversation started from.
 *
 * Messages that `follow` this one carry it on, and `readCategory` finds them all by its
 * `correlation`.
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
 * @param streamName The stream: `"transfer-7"`. A category does too: `"transfer"`.
 * @returns A copy of the message, with `correlationStreamName` in its metadata.
 * @throws {TypeError} If the message is not a message, or the name is empty or no text.
 */
export function correlate<Input extends MessageInput>(message: Input, streamName: string): Input {
  checkName("streamName", streamName);
  checkMessage(message);
  return withMetadata(message, { ...message.metadata, correlationStreamName: streamName });
}

/** A copy of the message, which belongs to the same catalogue. */
function withMetadata<Input extends MessageInput>(message: Input, metadata: Metadata): Input {
  const value = (message as Partial<MessageCatalogue>)[CATALOGUE];
  const copy = { ...message, metadata };
  return value ? Object.defineProperty(copy, CATALOGUE, { value }) : copy;
}

/**
 * The `properties` of the message, with those of the previous message that are not `local`. In
 * Eventide each property is an object with a value, and `local` says that it is for one message
 * only.
 */
function propertiesOf(own: unknown, previous: unknown): Metadata {
  if (!isPlain(previous)) return {};
  const inherited = Object.entries(previous).filter(([, property]) => {
    return (property as { readonly local?: unknown } | null)?.local !== true;
  });
  if (inherited.length === 0) return {};
  return { properties: { ...own as object, ...Object.fromEntries(inherited) } };
}
