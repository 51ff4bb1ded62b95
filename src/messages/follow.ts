import { causationOf } from "./_causation.ts";
import { checkMessage } from "./_check_message.ts";
import { withMetadata } from "./_with_metadata.ts";
import { invalid } from "../lib/invalid.ts";
import { isPlain } from "../lib/plain.ts";
import { checkName, checkObject, checkOptions } from "../names/_check.ts";
import type { Message, MessageInput, Metadata } from "../types.ts";

/** Options of `follow`. */
export interface PropagateOptions {
  /**
   * More keys of the previous message's metadata to hand on: `["tenantId"]`.
   *
   * @default none
   */
  readonly propagate?: readonly string[] | undefined;
}

/**
 * What `follow` makes of a message: the message, with metadata. Of a list it makes a list, and of `null` or
 * `undefined` the same.
 *
 * @typeParam Input The message, the list of messages, `null` or `undefined`.
 */
export type Followed<Input> = Input extends MessageInput ? Input & { readonly metadata: Metadata }
  : { [Key in keyof Input]: Followed<Input[Key]> };

/** Who acted, and the trace: the keys of the W3C's Trace Context. */
const PROPAGATED = ["userId", "traceparent", "tracestate"] as const;

/**
 * Adds metadata to a message to write: which message caused it, and what that message hands on.
 *
 * As Eventide's `follow`, and three keys besides:
 *
 * - The cause is the place of the previous message (`causationMessageStreamName`,
 *   `causationMessagePosition`, `causationMessageGlobalPosition`).
 * - Its `correlationStreamName` and `replyStreamName` replace those of the message; if it has none,
 *   those of the message are removed.
 * - Its `properties` are added to those of the message, without those that are `local`.
 * - Its `userId`, `traceparent` and `tracestate` are added, and the keys of the option `propagate`.
 *   What the message has already stays: if it has a `traceparent`, the `tracestate` belongs to that.
 *
 * Nothing else of the previous message is handed on. The rest of the message's metadata stays.
 *
 * @example
 * ```ts
 * import { follow, readLastMessage, write } from "@messagedb/client";
 *
 * const cause = await write(sql, "account:command-123", { type: "Deposit", data: { amount: 11 } })
 *   .then(() => readLastMessage(sql, "account:command-123"));
 * const deposited = { type: "Deposited", data: { amount: 11 } };
 * await write(sql, "account-123", follow(cause!, deposited, { propagate: ["tenantId"] }));
 * ```
 *
 * @typeParam Input The message, the list of messages, `null` or `undefined`.
 * @param previous The message that is the cause, as it was read.
 * @param message What was decided: the message to write, a list of messages, or nothing (`null` or
 * `undefined`).
 * @param options Which keys to hand on besides.
 * @returns A copy of each message, with that metadata. `null` and `undefined` come back as they
 * are.
 * @throws {TypeError} If the previous message is not a message, or `propagate` is no list of keys.
 */
export function follow<Input extends MessageInput | readonly MessageInput[] | null | undefined>(
  previous: Message,
  message: Input,
  options: PropagateOptions = {},
): Followed<Input> {
  checkObject("previous", previous, "a message that was read");
  checkOptions(options, { propagate: true });
  const { propagate = [] } = options;
  if (!Array.isArray(propagate)) throw invalid("propagate", propagate, "an array");
  for (const key of propagate) checkName("propagate", key);
  const followOne = (one: MessageInput): MessageInput => {
    checkMessage(one);
    return withMetadata(one, metadataAfter(previous, one.metadata, [...PROPAGATED, ...propagate]));
  };
  if (message == null) return message as never;
  return (Array.isArray(message)
    ? message.map(followOne)
    : followOne(message as MessageInput)) as never;
}

/** The metadata of a message that follows the previous one. */
function metadataAfter(
  previous: Message,
  own: Metadata | null | undefined,
  keys: readonly string[],
): Metadata {
  const from = previous.metadata ?? {};
  const propagated = keys.filter((key) =>
    Object.hasOwn(from, key) && own?.[key] === undefined &&
    !(key === "tracestate" && own?.traceparent !== undefined)
  );
  return {
    ...own,
    ...Object.fromEntries(propagated.map((key) => [key, from[key]])),
    ...propertiesOf(own?.["properties"], from["properties"]),
    ...causationOf(previous),
    correlationStreamName: from.correlationStreamName,
    replyStreamName: from.replyStreamName,
  };
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
export function correlate<Input extends MessageInput>(
  message: Input,
  streamName: string,
): Input & { readonly metadata: Metadata } {
  checkName("streamName", streamName);
  checkMessage(message);
  return withMetadata(message, { ...message.metadata, correlationStreamName: streamName });
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
