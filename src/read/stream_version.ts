import { checkStreamName } from "../names/_check.ts";
import { safeInteger } from "../messages/_columns.ts";
import { queryMessageStore } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";

/**
 * The version of a stream: the position of its last message.
 *
 * As Message DB's `stream_version`; made to be handed back as `expectedVersion`.
 *
 * @example
 * ```ts
 * import { streamVersion, write } from "@messagedb/client";
 *
 * const expectedVersion = await streamVersion(sql, "account-123");
 * await write(sql, "account-123", { type: "Closed" }, { expectedVersion });
 * ```
 *
 * @param sql The handle.
 * @param streamName The stream: `"account-123"`.
 * @returns The position, from 0, or `NO_STREAM` (-1) where the stream has no message.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the name is no stream's.
 */
export async function streamVersion(sql: Sql, streamName: string): Promise<number> {
  checkStreamName(streamName);
  return safeInteger(
    await queryMessageStore<number>(sql)`
  answer as materialized (
    select coalesce(message_store.stream_version(${streamName}::text), -1)::text as json from ours
  )`,
  );
}
