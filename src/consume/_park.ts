import { sqlStateOf } from "../handle/_driver_error.ts";
import { wordsOf } from "../lib/words.ts";
import { causationOf } from "../messages/_causation.ts";
import {
  type ConsumerNames,
  isOwnMessage,
  parkedStream,
  replayStream,
} from "../names/_own_streams.ts";
import { idFrom } from "../names/id_from.ts";
import { readLastOfTypes } from "../read/_read_last_of_types.ts";
import type { AggregatedMessage } from "../read/reference.ts";
import type { Message, Sql } from "../types.ts";
import { NO_STREAM, write } from "../write/write.ts";
import { readLastMessages } from "./_read_last_messages.ts";
import { readToEnd } from "./_read_to_end.ts";
import type { Placed } from "./_task.ts";
import type { Thrown } from "./_thrown.ts";
import type { Parked } from "./parked.ts";

/** How many characters of an error's text are stored at most. */
const LONGEST_TEXT = 10_000;
/** After so many characters that the database lacks, all beyond ASCII are left out. */
const MOST_CHARACTERS = 10;

/**
 * Writes that a message is parked.
 *
 * The id comes from the message and its place, or from the parked message that is replayed. If it is
 * written again, the store still has it once.
 *
 * @param error What the handler threw; null if it answered "park".
 */
export async function writeParked(
  sql: Sql,
  consumer: ConsumerNames,
  { message, place, parkedAs }: Placed,
  attempts: number,
  error: Parked["error"],
): Promise<void> {
  const name = parkedStream(consumer);
  const data = parkedData(message, attempts, error);
  const metadata = causationOf(message);
  const key = `${name} ${parkedAs ?? `${message.id} ${place}`}`;
  for (let times = 0;; times++) {
    const [last] = await readLastMessages(sql, [name]);
    const written = await write(sql, name, {
      id: await idFrom(times === 0 ? key : `${key} ${times}`),
      type: "Parked",
      data,
      metadata,
    });
    if (written > (last?.version ?? NO_STREAM)) return;
    // It was parked before. It may have been replayed since, and have come again after the position was set back.
    if (await isOpen(sql, consumer, written)) return;
  }
}

/** The data of the message that says that a message is parked. */
export function parkedData(
  message: Message,
  attempts: number,
  error: Parked["error"],
): Parked {
  const { id, type, streamName, position, globalPosition } = message;
  const { reference } = message as Partial<AggregatedMessage>;
  return {
    message: { id, type, streamName, position, globalPosition },
    ...(reference && { reference }),
    error,
    attempts,
  };
}

/** Whether nobody has dealt with a parked message yet. */
async function isOpen(sql: Sql, consumer: ConsumerNames, position: number): Promise<boolean> {
  const [replay] = await readLastMessages(sql, [replayStream(consumer)]);
  // An application may have streams of these names.
  if (position < Number((replay?.data as { readonly position?: unknown } | null)?.position)) {
    return false;
  }
  // A note comes after its message: mostly, there is none, and the messages between need not be read.
  const note = await readLastOfTypes(sql, parkedStream(consumer), ["Replayed", "Discarded"]);
  if (note === null || note.position < position) return true;
  for await (const entry of readToEnd(sql, parkedStream(consumer), position + 1)) {
    if (dealtWith(entry) === position) return false;
  }
  return true;
}

/** The position of the parked message that a note says was replayed or discarded; undefined if it is no note. */
export function dealtWith(entry: Message): number | undefined {
  // An application may have messages in a stream of this name.
  if (entry.type === "Parked" || !isOwnMessage(entry)) return undefined;
  return (entry.data as { readonly position: number }).position;
}

/**
 * The error as text that Postgres can hold: not too long, and without NUL and lone surrogates.
 *
 * @param failure What the handler threw; undefined if it answered "park".
 */
export function describe(failure: Thrown | undefined): Parked["error"] {
  if (failure === undefined) return null;
  const clean = (text: unknown) =>
    wordsOf(text).slice(0, LONGEST_TEXT).replace(/\0|\p{Surrogate}/gu, "\ufffd");
  try {
    const { cause } = failure;
    const { name, message } = cause instanceof Error ? cause : new Error(wordsOf(cause));
    return { name: clean(name), message: clean(message) };
  } catch {
    // A getter that throws, or a proxy that is revoked.
    return { name: "Error", message: clean({ toString: null }) };
  }
}

/**
 * The error without what the database has refused. A database whose encoding is not UTF8 lacks characters:
 * its error names the bytes of one, which becomes "?". After many of them, and if none is named, all
 * characters beyond ASCII do.
 *
 * @param refusals How many times the database has refused the error.
 * @throws The refusal, if it is no such error.
 */
export function withoutRefused(
  error: Parked["error"],
  refusal: unknown,
  refusals: number,
): Parked["error"] {
  const isOfCharacters = /^22(P05|021)$/.test(sqlStateOf(refusal) ?? "");
  if (!isOfCharacters || error === null) throw refusal;
  const { name, message } = error;
  const refused = refusals < MOST_CHARACTERS ? characterIn(refusal) : undefined;
  const isNamed = refused !== undefined && (name + message).includes(refused);
  const reduce = (text: string) =>
    isNamed ? text.replaceAll(refused, "?") : text.replace(/[^\0-\x7f]/gu, "?");
  const rest = { name: reduce(name), message: reduce(message) };
  if (rest.name === name && rest.message === message) throw refusal;
  return rest;
}

/** The character whose bytes the error names, in UTF8: `0xe2 0x82 0xac`. */
function characterIn(refusal: unknown): string | undefined {
  const { message } = refusal as { readonly message?: unknown };
  const bytes = String(message).match(/0x[0-9a-f]{2}/gi);
  return bytes ? new TextDecoder().decode(Uint8Array.from(bytes, Number)) : undefined;
}
