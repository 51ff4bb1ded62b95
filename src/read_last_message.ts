import { checkName, checkOptions, checkStreamName } from "./_check.ts";
import { askMessageFunction } from "./_message.ts";
import type { Message, Sql } from "./types.ts";

/** Options of `readLastMessage`. */
export interface ReadLastMessageOptions {
  /**
   * The message type wanted.
   *
   * @default any
   */
  readonly type?: string | undefined;
}

/**
 * Reads the last message of a stream, or the last of a type.
 *
 * As Message DB's `get_last_stream_message`.
 *
 * @example
 * ```ts
 * import { readLastMessage } from "@messagedb/client";
 *
 * await readLastMessage(sql, "account-123", { type: "Deposited" });
 * ```
 *
 * @typeParam Data What you know `data` to be; nothing checks it.
 * @param sql The handle.
 * @param streamName The stream: `"account-123"`.
 * @param options The type wanted.
 * @returns The message, or `null` where there is none.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the name is no stream's, or the type is empty.
 */
export async function readLastMessage<Data = unknown>(
  sql: Sql,
  streamName: string,
  options: ReadLastMessageOptions = {},
): Promise<Message<Data> | null> {
  checkStreamName(streamName);
  checkOptions(options);
  const { type = null } = options;
  if (type !== null) checkName("type", type);
  const [message] = await askMessageFunction<Data>(sql)`
    select
      message_store.get_last_stream_message(${streamName}::text, ${type}::text) as message
    from ours`;
  return message ?? null;
}
