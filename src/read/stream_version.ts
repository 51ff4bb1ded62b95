import { checkName } from "../names/_check.ts";
import { safeInteger } from "../messages/_columns.ts";
import { queryMessageStore } from "../handle/_statement.ts";
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
  // queryMessageStore puts the steps `caller` and `ours` before the template. `ours` sets the
  // search path, so the function must run after it: that is why `answer` selects from `ours`.
  return safeInteger(
    await queryMessageStore<number>(sql)`
  answer as materialized (
    select coalesce(message_store.stream_version(${streamName}::text), -1)::text as json from ours
  )`,
  );
}
