import {
  claimStream,
  type ConsumerNames,
  groupStream,
  memberStream,
  memberStreams,
  positionStream,
} from "../names/_own_streams.ts";
import { readStream } from "../read/read_stream.ts";
import type { ConsumerGroup, Sql } from "../types.ts";
import { NO_STREAM, write } from "../write/write.ts";
import { type Claimable, claimablesOf } from "./_claim.ts";
import { type LastMessage, readLastMessages, recordedPosition } from "./_read_last_messages.ts";

/** Where a consumer, or a member of its group, goes on. */
export interface FoundPosition extends Claimable {
  /** Everything up to here, included, is handled. */
  readonly position: number;
  /**
   * The position that the member's own stream records; 0 for none. `position` can be higher,
   * because of groups of other sizes.
   */
  readonly stored: number;
  /** The version of the member's own stream, and the id of the message there; null for none. */
  readonly version: number;
  readonly versionId: string | null;
}

/** A position that was found, and the name of the store before it was looked for: see `STORE_NAME`. */
export interface FoundInStore extends FoundPosition {
  readonly store: string;
}

/** What a position stream records, and where. */
export type StoredPlace = Pick<FoundPosition, "position" | "version" | "versionId" | "stored">;

/** The position stream of a member; without a group, of the whole consumer. */
export function streamOf(consumer: ConsumerNames, member: ConsumerGroup | undefined): string {
  return member ? memberStream(consumer, member) : positionStream(consumer);
}

/**
 * Finds where a consumer, or a member of its group, goes on.
 *
 * The group may have had other sizes, and with each size the members had other shares of the
 * streams. If every member of one size has recorded a position, all streams are handled up to the
 * lowest of these positions. That is a bound. The member goes on at the highest of the bounds of
 * all sizes and its own position.
 *
 * @param start Finds the first position to handle, if there is neither a bound nor an own position.
 */
export async function findPosition(
  sql: Sql,
  consumer: ConsumerNames,
  member: ConsumerGroup | undefined,
  start: () => Promise<number>,
): Promise<FoundPosition> {
  const ownStream = streamOf(consumer, member);
  const sizes = await recordGroupSize(sql, consumer, member?.size);
  // Without a group, the consumer is one member that has all streams.
  const groups = [
    [positionStream(consumer)],
    ...sizes.map((size) => memberStreams(consumer, size)),
  ];
  const claims = claimStream(ownStream);
  const lasts = await readLastMessages(sql, [...groups.flat(), claims]);
  const recorded = lasts.filter(({ streamName }) => streamName !== claims);
  const lastByStream = new Map(recorded.map((message) => [message.streamName, message]));
  const own = lastByStream.get(ownStream);

  const bounds = [...groups, [ownStream]]
    .filter((streams) => streams.every((name) => lastByStream.has(name)))
    .map((streams) =>
      Math.min(...streams.map((name) => recordedPosition(lastByStream.get(name)!)))
    );
  const position = bounds.length > 0
    ? Math.max(...bounds)
    : await positionBeforeStart(sql, Math.max(await start() - 1, 0), recorded);
  return {
    position,
    stored: own ? recordedPosition(own) : 0,
    version: own?.version ?? NO_STREAM,
    versionId: own?.id ?? null,
    ...claimablesOf(lasts, [ownStream])[0]!,
  };
}

/**
 * The position before the start, or the first position that another member has recorded, if that is
 * lower. After that first position, the other member has handled only its own share.
 */
async function positionBeforeStart(
  sql: Sql,
  position: number,
  others: readonly LastMessage[],
): Promise<number> {
  if (position === 0) return 0;
  const firsts = await Promise.all(
    others.map(({ streamName }) => readStream(sql, streamName, { batchSize: 1 })),
  );
  return Math.min(position, ...firsts.flat().map(recordedPosition));
}

/** The lowest position that the members of a group have recorded; 0 if one of them has none. */
export async function lowestPosition(
  sql: Sql,
  consumer: ConsumerNames,
  size: number,
): Promise<number> {
  const streams = memberStreams(consumer, size);
  const recorded = await readLastMessages(sql, streams);
  return recorded.length < streams.length ? 0 : Math.min(...recorded.map(recordedPosition));
}

/** Reads the sizes that the consumer's group has had, and writes the present size if it is new. */
async function recordGroupSize(
  sql: Sql,
  consumer: ConsumerNames,
  size: number | undefined,
): Promise<number[]> {
  const name = groupStream(consumer);
  const sizes = new Set<number>();
  for (const { type, data } of await readStream<{ size: number }>(sql, name)) {
    if (type === "Sized") sizes.add(data.size);
  }
  if (size !== undefined && !sizes.has(size)) {
    await write(sql, name, { type: "Sized", data: { size } });
    sizes.add(size);
  }
  return [...sizes];
}
