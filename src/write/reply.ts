import { checkMessage } from "../messages/_check_message.ts";
import { withMetadata } from "../messages/_with_metadata.ts";
import type { TypedInput } from "../messages/catalogue.ts";
import type { MessageInput, Sql } from "../types.ts";
import { write, type WriteOptions } from "./write.ts";

/**
 * Writes a message to the stream that its `replyStreamName` names, and leaves that key out.
 *
 * As Eventide's `reply`. Who wants a reply writes the `replyStreamName` into the metadata of the request,
 * and `follow` hands it on to the reply. Without the key, no reply is sent to the reply.
 *
 * @example
 * ```ts
 * import { drain, reply, write } from "@messagedb/client";
 *
 * const metadata = { replyStreamName: "teller-1" };
 * await write(sql, "account:command-123", { type: "Withdraw", data: { amount: 5 }, metadata });
 *
 * await drain(sql, {
 *   category: "account:command",
 *   consumerId: "handler",
 *   handle: async (_, { sql, follow }) => {
 *     await reply(sql, follow({ type: "WithdrawRefused" })); // to teller-1
 *   },
 * });
 * ```
 *
 * @typeParam Input The messages of the catalogue in the option `messages`.
 * @param sql The handle; inside a transaction, the handle of the transaction.
 * @param message The message to write, with a `replyStreamName` in its metadata.
 * @param options The version that the stream must be at, and the catalogue of the messages.
 * @returns The message's position in the stream, from 0.
 * @throws {WrongExpectedVersionError} If the stream is not at the expected version.
 * @throws {DuplicateMessageError} If another stream has a message of this id.
 * @throws {NotInstalledError} If the database has no Message DB, or the role has no right to use it.
 * @throws {InvalidMessageError} If the message does not fit its catalogue.
 * @throws {TypeError} If the message has no `replyStreamName`, or that is not a stream name, the type is
 * empty, the id is not a UUID, or JSON cannot hold the data.
 * @throws {RangeError} If the expected version is neither an integer from -1 up nor `STREAM_EXISTS`.
 */
export function reply<Input extends MessageInput>(
  sql: Sql,
  message: NoInfer<Input>,
  options: WriteOptions & TypedInput<Input>,
): Promise<number>;
/** Writes a message of any type, with no catalogue in the options. */
export function reply(sql: Sql, message: MessageInput, options?: WriteOptions): Promise<number>;
export async function reply(
  sql: Sql,
  message: MessageInput,
  options?: WriteOptions,
): Promise<number> {
  checkMessage(message);
  const { replyStreamName, ...metadata } = message.metadata ?? {};
  if (replyStreamName == null) {
    throw new TypeError(
      `Cannot reply with message "${message.type}": its metadata has no replyStreamName, ` +
        "which follow() hands on from the message that asked",
    );
  }
  return await write(sql, replyStreamName, withMetadata(message, metadata), options);
}
