import { storeFor } from "../handle/_store_for.ts";
import { checkIdentity } from "../consume/_checked_consumer.ts";
import { findPosition, streamOf } from "../consume/_find_position.ts";
import { parkedData } from "../consume/_park.ts";
import { type LastMessage, readLastMessages } from "../consume/_read_last_messages.ts";
import type { ConsumerIdentity } from "../consume/consumer.ts";
import { invalid } from "../lib/invalid.ts";
import { causationOf } from "../messages/_causation.ts";
import { checkId, checkName, checkOptions } from "../names/_check.ts";
import { groupStream, parkedStream } from "../names/_own_streams.ts";
import { idFrom } from "../names/id_from.ts";
import { checkTypes } from "../subscribe/_reader.ts";
import type { ConsumerGroup, Message, MessageInput, Sql } from "../types.ts";
import { NO_STREAM } from "../write/write.ts";
import { writeStreams } from "../write/write_streams.ts";
import { firstAfter, type FoundFirst } from "./_first_after.ts";
import { findInSource, type FoundInSource } from "./_find_in_source.ts";
import { type ParkedEntries, readParkedEntries } from "./_parked_entries.ts";
import type { PassOptions } from "./pass_options.ts";
import { typesIn } from "./_recorded_types.ts";
import { asRefusal } from "./_refusal.ts";
import { retryConflicts } from "./_retry_conflicts.ts";
import { type Identity, NO_POSITION, wordsFor } from "./_whole_consumer.ts";

/** What becomes of a message that a consumer passes by. */
export type Fate = "park" | "skip";

/** Has a consumer pass by the message on which it hangs. */
export async function passBy(
  sql: Sql,
  fate: Fate,
  consumer: ConsumerIdentity,
  messageId: string,
  options: PassOptions,
): Promise<void> {
  const identity = checkIdentity(consumer);
  checkId(messageId);
  checkOptions(options, { reason: true, types: true });
  const { reason, types } = options;
  checkName("reason", reason);
  if (types !== undefined) checkTypes(types);
  const wanted = {
    sql: storeFor(sql, identity.category),
    fate,
    identity,
    id: messageId.toLowerCase(),
    reason,
    types,
  };
  await retryConflicts(() => passOnce(wanted));
}

interface WantedPass extends PassOptions {
  readonly sql: Sql;
  readonly fate: Fate;
  readonly identity: Identity;
  readonly id: string;
}

/** The message, and where the consumer is. */
interface Meeting {
  readonly message: Message;
  readonly place: number;
  /** The last message of the stream of the position. */
  readonly own: Pick<LastMessage, "streamName" | "version" | "metadata">;
  readonly parked: ParkedEntries;
}

async function passOnce(wanted: WantedPass): Promise<void> {
  const { sql, identity } = wanted;
  const meeting = await meet(wanted);
  if (meeting === undefined) return;
  const { place, own, parked } = meeting;
  const messages = await traceOf(wanted, meeting);
  await writeStreams(sql, [
    {
      streamName: own.streamName,
      messages: [{
        type: "Recorded",
        data: { position: place },
        metadata: { ...own.metadata, reset: true },
      }],
      expectedVersion: own.version,
    },
    ...messages.length === 0
      ? []
      : [{ streamName: parkedStream(identity), messages, expectedVersion: parked.version }],
  ]);
}

/**
 * Checks that the message is the next one that the consumer meets.
 *
 * @returns Undefined if the consumer has passed by the message already.
 */
async function meet(wanted: WantedPass): Promise<Meeting | undefined> {
  const { sql, fate, identity, id } = wanted;
  const found = await findInSource(sql, identity, id);
  const place = placeInSource(wanted, found);
  if (wanted.types !== undefined && !wanted.types.includes(found!.type)) {
    const rule = `with "${found!.type}", the type of the message`;
    throw asRefusal(invalid("types", wanted.types, rule));
  }
  const member = memberOf(wanted, found!);
  const own = await lastOf(wanted, streamOf(identity, member));
  // Without a position, the consumer has come to its first message: any start but the beginning is recorded.
  const { position } = await findPosition(sql, identity, member, () => Promise.resolve(0));
  const parked = await readParkedEntries(sql, identity, { ids: [id] });
  if (position >= place) {
    const state = parked.entries.at(-1)?.state;
    if (state === (fate === "park" ? "open" : "discarded")) return undefined;
    const why = state === "open"
      ? "it is parked, and discardParked discards it"
      : `the consumer is at position ${position} and has passed the message, which is at ${place}`;
    throw refusal(wanted, why);
  }
  const types = wanted.types ?? typesIn(own);
  const options = { position, types, consumerGroup: member };
  const first = await firstAfter(sql, identity.source, options) as FoundFirst | null;
  if (first?.message.id === id) return { message: first.message, place, own, parked };
  throw refusal(
    wanted,
    first === null || first.place > place
      ? "it is none that the consumer handles"
      : `the consumer is at position ${position} and meets message "${first.message.id}" of type ` +
        `"${first.message.type}" at ${first.place} first: park or skip that one, or give ` +
        "the types that the consumer handles if that type is none of them",
  );
}

/** The last message of the position's stream, where there may be none without a group. */
async function lastOf(
  wanted: WantedPass,
  streamName: string,
): Promise<Meeting["own"]> {
  const { sql, identity } = wanted;
  const sizes = groupStream(identity);
  const last = await readLastMessages(sql, [streamName, sizes]);
  const own = last.find((it) => it.streamName === streamName);
  if (own !== undefined) return own;
  if (identity.group !== undefined) throw refusal(wanted, NO_POSITION);
  if (last.length === 0) return { streamName, version: NO_STREAM, metadata: null };
  throw refusal(wanted, "the consumer has run in a group: give the size of its consumerGroup");
}

function refusal({ fate, identity, id }: WantedPass, why: string): Error {
  return asRefusal(new Error(`Cannot ${fate} message "${id}" for ${wordsFor(identity)}: ${why}`));
}

function placeInSource(wanted: WantedPass, found: FoundInSource | null): number {
  if (found === null) throw refusal(wanted, "the store has no such message");
  if (found.place !== null) return found.place;
  throw refusal(wanted, `the consumer does not read stream "${found.streamName}"`);
}

/** The member of the group that reads the message; undefined without a group. */
function memberOf(
  wanted: WantedPass,
  { member, streamName }: FoundInSource,
): ConsumerGroup | undefined {
  const { group } = wanted.identity;
  if (group === undefined) return undefined;
  const { member: given = member, size } = group;
  if (member === null) throw refusal(wanted, `no member reads stream "${streamName}"`);
  if (given === member) return { member, size };
  throw refusal(wanted, `member ${member} reads stream "${streamName}", and not member ${given}`);
}

/**
 * What is kept in the stream of parked messages: the message, unless it is there already, and for a message
 * to skip that it is discarded.
 */
async function traceOf(
  { fate, identity, id, reason }: WantedPass,
  { message, place, parked: { entries, version } }: Meeting,
): Promise<MessageInput[]> {
  const open = entries.find(({ state }) => state === "open");
  const messages: MessageInput[] = [];
  if (open === undefined) {
    const data = { ...parkedData(message, 0, null), reason };
    // The first id is the one under which the consumer parks the message. So it is not parked twice if
    // the consumer does so at the same time. After a rewind it can be parked once more.
    const name = `${parkedStream(identity)} ${id} ${place}`;
    messages.push({
      id: await idFrom(entries.length === 0 ? name : `${name} ${entries.length}`),
      type: "Parked",
      data,
      metadata: causationOf(message),
    });
  }
  if (fate === "skip") {
    const position = open?.position ?? version + 1;
    messages.push({ type: "Discarded", data: { position, reason } });
  }
  return messages;
}
