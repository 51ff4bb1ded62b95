import { WrongExpectedVersionError } from "../errors.ts";
import { claimStream } from "../names/_own_streams.ts";
import type { Sql } from "../types.ts";
import { NO_STREAM, write } from "../write/write.ts";
import type { IdentifiedLast, LastMessage } from "./_read_last_messages.ts";

/**
 * The claim of one process to a position stream: the metadata of the stream's last message.
 *
 * A process that waits for work, as `consume` does, writes nothing while it is idle. So its claim holds until
 * another process asks for the stream and gets no answer. A question is a message in the claim stream; each
 * write to the position stream answers it. A process that only works, as `drain` does, renews its claim, and
 * the claim ends `leaseDuration` after its last message.
 */
export interface Claim {
  readonly owner: string;
  /** In milliseconds. */
  readonly leaseDuration: number;
  /** Whether the owner answers questions. */
  readonly answers?: true;
}

/** How long an owner has to answer, as a part of its lease: with the time before the question, a lease in all. */
const TIME_TO_ANSWER = 2 / 3;
/** For how long an owner must not have written before it is asked, as a part of its lease. */
export const TIME_TO_ASK: number = 1 - TIME_TO_ANSWER;

/** Another process has taken over the position stream. */
export class ClaimLostError extends Error {}

/** The owner that the last message of a position stream names. */
export function ownerOf(last: LastMessage | undefined): unknown {
  return last?.metadata?.["owner"];
}

/** The last message of a position stream, and the last question about it; undefined for none. */
export interface Claimable {
  readonly last: IdentifiedLast | undefined;
  readonly question: LastMessage | undefined;
}

/** Picks those of position streams from the last messages of these and of their claim streams. */
export function claimablesOf(
  lasts: readonly IdentifiedLast[],
  positionStreams: readonly string[],
): Claimable[] {
  const byStream = new Map(lasts.map((last) => [last.streamName, last]));
  return positionStreams.map((name) => ({
    last: byStream.get(name),
    question: byStream.get(claimStream(name)),
  }));
}

/** The owner of a position stream, by its last message and the last question; undefined if it is free. */
export function holderOf(
  last: LastMessage | undefined,
  question: LastMessage | undefined,
): string | undefined {
  const owner = ownerOf(last);
  if (typeof owner !== "string") return undefined;
  const lease = leaseOf(last!);
  const isFree = last!.metadata!["answers"] === true
    ? isAsked(last!, question) && ageOf(question!) >= lease * TIME_TO_ANSWER
    : !(ageOf(last!) < lease);
  return isFree ? undefined : owner;
}

/** Whether the owner of a position stream may be asked: it has not written for a while, and nobody has asked. */
export function mayAsk(last: LastMessage, question: LastMessage | undefined): boolean {
  return last.metadata?.["answers"] === true && !isAsked(last, question) &&
    ageOf(last) >= leaseOf(last) * TIME_TO_ASK;
}

/** Whether somebody has asked for the position stream since its last message. */
export function isAsked(last: LastMessage, question: LastMessage | undefined): boolean {
  const { version } = (question?.data ?? {}) as { readonly version?: unknown };
  return version === last.version;
}

/** Asks for a position stream. If two processes ask at once, one question is enough. */
export async function ask(
  sql: Sql,
  owner: string,
  { streamName, version }: LastMessage,
  question: LastMessage | undefined,
): Promise<void> {
  const expectedVersion = question?.version ?? NO_STREAM;
  try {
    await write(sql, claimStream(streamName), { type: "Claimed", data: { version, owner } }, {
      expectedVersion,
    });
  } catch (error) {
    if (!(error instanceof WrongExpectedVersionError)) throw error;
  }
}

/** By the server's clock, which may have been set back since. */
function ageOf({ age }: LastMessage): number {
  return Math.abs(age);
}

function leaseOf({ metadata }: LastMessage): number {
  return Number(metadata!["leaseDuration"]);
}
