import { encodeMessage } from "../messages/_json.ts";
import { isOwnMessage } from "../names/_own_streams.ts";
import { category, isCategory } from "../names/stream_name.ts";
import type { Message, MessageInput, Metadata } from "../types.ts";
import { type CopiedPlaces, findPlace, indexUpTo, type Place } from "./_places.ts";
import {
  type EncodedImport,
  NO_POINTERS,
  type PointerPath,
  type Pointers,
} from "./_write_missing.ts";

/** A message of another store. */
export interface SourceMessage {
  readonly streamName: string;
  /** The message as it is to be stored, but for the positions in it. */
  readonly message: MessageInput;
  readonly globalPosition: number;
  readonly position: number | undefined;
  /** What the message keeps for this library; undefined for a message of the application. */
  readonly kind: Bookkeeping | undefined;
}

type Bookkeeping =
  | "position"
  | "replay"
  | "aggregate"
  | "snapshot"
  | "settled"
  | "group"
  | "claim"
  | "parked";

/** What is known of the source's messages when one of them is translated. */
export interface Translation {
  readonly places: CopiedPlaces;
  /** The global position in the source of its first message. */
  readonly first: number;
  /** The global positions in the source of the messages that are written with this one, in order. */
  readonly origins: readonly number[];
  /** The rows of these messages. */
  readonly rows: readonly number[];
}

/** The kind of bookkeeping that a message is; undefined for none. */
export function kindOf(streamName: string, message: MessageInput): Bookkeeping | undefined {
  // Eventide keeps the position of a consumer that has no identifier in "account:position".
  const named = isCategory(streamName) ? `${streamName}-` : streamName;
  if (!isOwnMessage({ ...message, streamName: named } as Message)) return undefined;
  const name = category(streamName);
  const begin = Math.max(name.lastIndexOf(":"), name.lastIndexOf("+")) + 1;
  const kind = name.slice(begin) as Bookkeeping;
  return kind === "position" && streamName.endsWith("+parked") ? "replay" : kind;
}

/** Whether the member of the data is a position that this library keeps. */
export function isPointer(streamName: string, message: MessageInput, path: unknown): boolean {
  const kind = kindOf(streamName, message);
  return path === "position" && (kind === "position" || kind === "aggregate") ||
    path === "messageGlobalPosition" && kind === "snapshot" ||
    path === "message.globalPosition" && kind === "parked" && message.type === "Parked";
}

/**
 * Whether the message is of no use in another store: claims, what waits for them, and what is settled. The
 * last would be wrong there, because the copy has global positions of its own.
 */
export function isClaim({ kind, message }: SourceMessage): boolean {
  return kind === "claim" || kind === "settled" || message.type === "Waiting" && kind === "group";
}

/** Whether the message has to be left out if positions are. */
export function isPositional({ kind, streamName, message }: SourceMessage): boolean {
  return kind !== undefined || isReferenceIn(streamName, message);
}

/** Whether something in the message is different in another store. */
export function isPointing({ kind, message: { metadata } }: SourceMessage): boolean {
  return kind !== undefined && kind !== "group" || causeIn(metadata) !== undefined;
}

export function withoutCause(message: MessageInput): MessageInput {
  if (causeIn(message.metadata) === undefined) return message;
  const { causationMessageGlobalPosition: _, ...metadata } = message.metadata!;
  return { ...message, metadata };
}

/**
 * Encodes a message with the positions that its messages have in this store. What they are is known for
 * those that are stored already; the others are named by their rows.
 *
 * @returns Undefined if the message is of no use.
 */
export function translate(
  source: SourceMessage,
  encoded: EncodedImport,
  translation: Translation,
): EncodedImport | undefined {
  const withData = translateData(source, translation);
  if (withData === undefined) return undefined;
  const { message, pointers } = translateCause(source, withData, translation);
  return { ...encoded, ...encodeMessage(message), pointers };
}

interface Translated {
  readonly message: MessageInput;
  readonly pointers: Pointers;
}

function translateData(source: SourceMessage, translation: Translation): Translated | undefined {
  const { message, position: place, kind } = source;
  const at = place ?? null;
  if (kind === "position" || kind === "aggregate") return translateRecorded(source, translation);
  if (kind === "replay") {
    const unclaimed = { ...message, metadata: withoutClaim(message.metadata) };
    return { message: unclaimed, pointers: { ...NO_POINTERS, highest: at } };
  }
  if (kind === "snapshot") return translateSnapshot(source, translation);
  if (kind !== "parked") return { message, pointers: NO_POINTERS };
  // Positions in this stream are recorded, too: it has to be the same.
  const pointers = { ...NO_POINTERS, lowest: at, highest: at };
  return message.type === "Parked"
    ? translateParked(message, pointers, translation)
    : { message, pointers };
}

function translateRecorded(source: SourceMessage, translation: Translation): Translated {
  const { streamName, kind, position: place } = source;
  const metadata = withoutClaim(source.message.metadata);
  const message = { ...source.message, metadata };
  const guarded = { ...NO_POINTERS, highest: place ?? null };
  const { position } = message.data as { readonly position: number };
  if (position === 0) return { message, pointers: guarded };
  checkOrder(source, translation);
  const apart = kind === "aggregate" ? "$all" : category(streamName).slice(0, -":position".length);
  const pointers = { ...guarded, apart };
  return setPosition(message, "position", placeUpTo(translation, position), pointers);
}

function translateSnapshot(
  { message }: SourceMessage,
  translation: Translation,
): Translated | undefined {
  const { messageGlobalPosition } = message.data as { readonly messageGlobalPosition?: unknown };
  // Eventide's snapshots have no such position.
  if (typeof messageGlobalPosition !== "number") return { message, pointers: NO_POINTERS };
  const found = placeOf(translation, messageGlobalPosition);
  return found && setPosition(message, "messageGlobalPosition", found, NO_POINTERS);
}

function translateParked(
  message: MessageInput,
  pointers: Pointers,
  translation: Translation,
): Translated {
  const { message: parked, reference, ...data } = message.data as {
    readonly message: Positions;
    readonly reference?: Positions | null;
  };
  // A message that is not in the copy is passed over by a replay, wherever it was.
  const found = placeUpTo(translation, parked.globalPosition);
  const place = reference ? placeUpTo(translation, reference.globalPosition) : undefined;
  const translated = {
    ...message,
    data: {
      ...data,
      message: found && "row" in found ? parked : movedTo(parked, found),
      ...(reference &&
        { reference: place && "row" in place ? reference : movedTo(reference, place) }),
    },
  };
  return found && "row" in found
    ? setPosition(translated, "message.globalPosition", found, pointers)
    : { message: translated, pointers };
}

interface Positions {
  readonly position: number;
  readonly globalPosition: number;
}

function movedTo<Moved extends Positions>(moved: Moved, place: Place | undefined): Moved {
  const { globalPosition = 0, shift = 0 } = place ?? {};
  return { ...moved, position: moved.position + shift, globalPosition };
}

function setPosition(
  message: MessageInput,
  path: PointerPath,
  found: Place | Row | undefined,
  pointers: Pointers,
): Translated {
  if (found && "row" in found) return { message, pointers: { ...pointers, upTo: found.row, path } };
  const data = { ...message.data as object, [path]: found?.globalPosition ?? 0 };
  return { message: { ...message, data }, pointers };
}

function translateCause(
  source: SourceMessage,
  { message, pointers }: Translated,
  translation: Translation,
): Translated {
  const cause = causeIn(message.metadata);
  if (cause === undefined) return { message, pointers };
  const found = placeOf(translation, cause);
  if (found === undefined) {
    if (isReferenceIn(source.streamName, message)) checkOrder(source, translation);
    const apart = cause < translation.first ? "$all" : pointers.apart;
    return { message: withoutCause(message), pointers: { ...pointers, apart } };
  }
  if ("row" in found) return { message, pointers: { ...pointers, cause: found.row } };
  const { causationMessagePosition: position } = message.metadata!;
  const metadata = {
    ...message.metadata,
    causationMessageGlobalPosition: found.globalPosition,
    ...(typeof position === "number" && { causationMessagePosition: position + found.shift }),
  };
  return { message: { ...message, metadata }, pointers };
}

/** A message that is written in the same statement. */
interface Row {
  readonly origin: number;
  readonly row: number;
}

/** Where the last message up to a global position of the source is; undefined if there is none. */
function placeUpTo({ places, origins, rows }: Translation, upTo: number): Place | Row | undefined {
  const at = indexUpTo(origins, upTo);
  return at < 0 ? findPlace(places, upTo) : { origin: origins[at]!, row: rows[at]! };
}

/** Where the message at a global position of the source is; undefined if it is not among those that came. */
function placeOf(translation: Translation, origin: number): Place | Row | undefined {
  const here = placeUpTo(translation, origin);
  if (here?.origin === origin) return here;
  const before = findPlace(translation.places, origin);
  return before?.origin === origin ? before : undefined;
}

function checkOrder({ streamName }: SourceMessage, { places }: Translation): void {
  if (!places.isOrdered) throw disordered(streamName);
}

export function disordered(streamName: string): TypeError {
  return new TypeError(
    `"${streamName}" has positions of the source, and its messages came in another order than that of ` +
      `their global positions, or are in another order here: ${LEAVE_OUT}`,
  );
}

/** What one can do about a message whose positions cannot be translated. */
export const LEAVE_OUT = 'leave positions out, by the option positions: "omit"';

function causeIn(metadata: Metadata | null | undefined): number | undefined {
  const cause: unknown = metadata?.causationMessageGlobalPosition;
  return typeof cause === "number" ? cause : undefined;
}

/** Whether the message is an aggregate's reference to another message. */
function isReferenceIn(streamName: string, { metadata }: MessageInput): boolean {
  return metadata?.["referringAggregate"] === category(streamName);
}

/** Nobody holds the position in the copy. */
function withoutClaim(metadata: Metadata | null | undefined): Metadata | null {
  if (!metadata) return null;
  const { owner: _, leaseDuration: _1, answers: _2, reset: _3, ...rest } = metadata;
  return Object.keys(rest).length === 0 ? null : rest;
}
