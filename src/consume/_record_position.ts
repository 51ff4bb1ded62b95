import { StoreWentBackError, WrongExpectedVersionError } from "../errors.ts";
import { sqlStateOf } from "../handle/_driver_error.ts";
import { momentNow } from "../lib/share_work.ts";
import { encodeMessage } from "../messages/_json.ts";
import type { Metadata, Sql } from "../types.ts";
import type { KeptPosition } from "./_kept_position.ts";
import type { IdentifiedLast } from "./_read_last_messages.ts";
import { writeRecorded } from "./_write_recorded.ts";

/** Somebody has set the position, or moved it, while a transaction was under way. */
export class PositionMovedError extends Error {}

/** The store has another name than the one whose messages were handled: after a restart, or a failover. */
export class StoreRenamedError extends Error {}

export type StoredVersion = Pick<KeptPosition, "version" | "versionId">;

/**
 * Writes a position to its stream.
 *
 * @param age How long ago the transaction began, in milliseconds. A message has the time at which its
 * transaction began, and a lease counts from there. So the lease gets this much longer.
 * @param successor The last message of a process that has taken the position over: its claim stays.
 * @returns The new version, and its message's id.
 * @throws {StoreWentBackError} If another message is at the version that this process knows.
 * @throws {StoreRenamedError} If it is not known that the store has the messages up to the position.
 */
export async function record(
  kept: KeptPosition,
  sql: Sql,
  position: number,
  age = 0,
  successor?: IdentifiedLast,
): Promise<StoredVersion> {
  const { claim, types, isClosing, streamName, store } = kept;
  const own: Metadata = {
    ...claim && !isClosing && { ...claim, leaseDuration: claim.leaseDuration + age },
    ...types && { types },
  };
  const metadata = successor ? successor.metadata : Object.keys(own).length > 0 ? own : null;
  const message = encodeMessage({ type: "Recorded", data: { position }, metadata });
  const expected = { store, versionId: successor?.id ?? kept.versionId };
  const expectedVersion = successor?.version ?? kept.version;
  const version = await writeRecorded(sql, streamName, message, expectedVersion, expected);
  if (version === "overwritten") throw new StoreWentBackError(kept.position);
  if (version === "renamed") {
    kept.isRenamed = true;
    throw new StoreRenamedError();
  }
  kept.unproven.set(message.id, momentNow());
  return { version, versionId: message.id };
}

/**
 * Whether the error says that the position's stream is at another version: another process has
 * stored a position, or this process has and the answer was lost.
 */
export function isConflict({ streamName }: KeptPosition, error: unknown): boolean {
  return error instanceof PositionMovedError || error instanceof StoreRenamedError ||
    error instanceof WrongExpectedVersionError && error.streamName === streamName;
}

/**
 * Whether a transaction failed when it recorded the position, and not in its work. The state 25P02
 * says that the transaction had failed before: then the work has failed.
 */
export function isRecordFailure({ recordFailure }: KeptPosition, error: unknown): boolean {
  return recordFailure?.cause === error && sqlStateOf(error) !== "25P02";
}
