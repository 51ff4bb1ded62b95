import type { ConsumerIdentity } from "../consume/consumer.ts";
import type { Sql } from "../types.ts";
import { passBy } from "./_pass_by.ts";
import type { PassOptions } from "./pass_options.ts";

/**
 * Skips the message on which a consumer hangs: the consumer goes on with the next one, and never handles the
 * message. A running consumer notices it with its next poll.
 *
 * It is as `park`, and then `discardParked` with the same reason, in one statement. So the stream of parked
 * messages tells which messages were skipped, and why. To skip a message that is skipped already is no error.
 *
 * @example
 * ```ts
 * import { drain } from "@messagedb/client";
 * import { skip } from "@messagedb/client/operate";
 *
 * const letters = { category: "account", consumerId: "letters" };
 * const handle = () => Promise.reject(new Error("no address"));
 * const { failedMessage } = await drain(sql, { ...letters, handle }).catch((it) => it);
 * await skip(sql, letters, failedMessage.id, { reason: "a test account" });
 * ```
 *
 * @param sql The handle.
 * @param consumer The consumer's names, and the size of its group if it has one: the member is the one that
 * reads the message.
 * @param messageId The message's id.
 * @param options The reason, and the types that the consumer handles, if not all.
 * @returns Nothing, when the message is skipped.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the consumer's names are invalid, the id is not a UUID, the reason is empty, or
 * `types` lacks the type of the message.
 * @throws {Error} If the message is not the next one that the consumer meets: the sentence says where the
 * consumer is.
 */
export async function skip(
  sql: Sql,
  consumer: ConsumerIdentity,
  messageId: string,
  options: PassOptions,
): Promise<void> {
  await passBy(sql, "skip", consumer, messageId, options);
}
