import { causationOf } from "./_causation.ts";
import { checkMessage } from "./_check_message.ts";
import { checkObject } from "../names/_check.ts";
import type { Message, MessageInput } from "../types.ts";

/**
 * Whether a message follows another: whether that one is its cause, and handed its conversation on.
 *
 * As Eventide's `follows?`: the place of the cause is the same, and so are `correlationStreamName` and
 * `replyStreamName`, if the previous message has them.
 *
 * @example
 * ```ts
 * import { follow, isFollowing, readLastMessage, write } from "@messagedb/client";
 *
 * await write(sql, "account:command-123", { type: "Deposit", data: { amount: 11 } });
 * const deposit = await readLastMessage(sql, "account:command-123");
 * isFollowing(deposit!, follow(deposit!, { type: "Deposited" })); // true
 * isFollowing(deposit!, { type: "Deposited" }); // false
 * ```
 *
 * @param previous The message that may be the cause, as it was read.
 * @param message The message that may follow: one that was read, or one to write.
 * @returns `true` if the message follows the previous one.
 * @throws {TypeError} If one of the two is not a message.
 */
export function isFollowing(previous: Message, message: Message | MessageInput): boolean {
  checkObject("previous", previous, "a message that was read");
  checkMessage(message);
  const { correlationStreamName, replyStreamName } = previous.metadata ?? {};
  const handedOn = { correlationStreamName, replyStreamName, ...causationOf(previous) };
  return Object.entries(handedOn).every(([key, value]) => {
    return value == null || message.metadata?.[key] === value;
  });
}
