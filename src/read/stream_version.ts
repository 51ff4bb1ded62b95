import { storeFor } from "../handle/_store_for.ts";
import { checkName } from "../names/_check.ts";
import { safeInteger } from "../messages/_columns.ts";
import { queryJson } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";

/**
 * Reads the version of a stream: the position of its last message.
 *
 * As Message DB's `stream_version`. A write takes it as its `expectedVersion`.
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
 * @param streamName The stream: `"account-123"`. A category can be the name of a stream too, as Eventide's
 * `account:position`: then it is that stream alone.
 * @returns The position, from 0, or `NO_STREAM` (-1) if the stream has no message.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 * @throws {TypeError} If the name is not text, or is empty.
 */
export async function streamVersion(sql: Sql, streamName: string): Promise<number> {
  checkName("streamName", streamName);
  return safeInteger(
    await queryJson<number>(storeFor(sql, streamName))`
select coalesce(max(position), -1)::text as json
from message_store.messages
where stream_name = ${streamName}::text`,
  );
}
