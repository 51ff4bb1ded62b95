import { whenReady } from "../lib/promise.ts";
import { checkMessage } from "../messages/_check_message.ts";
import { encodeMessage } from "../messages/_json.ts";
import { makerOf } from "../messages/_typed.ts";
import { checkId, checkInteger, checkName, checkTime } from "../names/_check.ts";
import { SETTLED_STREAM } from "../names/_own_streams.ts";
import type { MessageInput } from "../types.ts";
import { isClaim, isPositional, kindOf, type SourceMessage, withoutCause } from "./_translate.ts";
import type { EncodedImport } from "./_write_missing.ts";
import type { ImportedMessage } from "./imported_message.ts";

/** A message that is to be written. */
export interface ImportRow {
  /** Where the message is in the source: `"line 17"`, or `"message 17"`. */
  readonly place: string;
  readonly encoded: EncodedImport;
  /** Undefined if the message was not read from a store. */
  readonly source: SourceMessage | undefined;
}

/** Encodes a message; undefined if the message is left out. */
export function encodeRow(
  place: string,
  message: ImportedMessage,
  withoutPositions: boolean,
): ImportRow | undefined | Promise<ImportRow | undefined> {
  checkMessage(message);
  const { streamName, time, globalPosition, position } = message;
  checkName("streamName", streamName);
  checkId(message.id);
  checkTime(time);
  if (globalPosition !== undefined) checkInteger("globalPosition", globalPosition, 0);
  const typed = makerOf(message)?.encode(message, streamName).then(({ stored }) => stored);
  return whenReady<MessageInput, ImportRow | undefined>(typed ?? message, (stored) => {
    let source: SourceMessage | undefined;
    let given = stored;
    // What is settled elsewhere is never true here.
    if (streamName === SETTLED_STREAM && kindOf(streamName, given) !== undefined) return undefined;
    if (globalPosition !== undefined) {
      if (position !== undefined) checkInteger("position", position, 0);
      const kind = kindOf(streamName, given);
      source = { streamName, message: given, globalPosition, position, kind };
      if (withoutPositions ? isPositional(source) : isClaim(source)) return undefined;
      if (withoutPositions) source = { ...source, message: given = withoutCause(given) };
    }
    const columns = encodeMessage(given);
    // The spread is last: V8 is slow to add to an object that begins with a spread.
    const encoded = { streamName, time: time?.toISOString() ?? null, ...columns };
    return { place, encoded, source };
  });
}

/** An argument's error, with the place of the message in the source; other errors as they are. */
export function placedError(place: string, error: unknown): unknown {
  const Class = [TypeError, RangeError].find((it) => error instanceof it);
  return Class
    ? new Class(`Cannot import ${place}: ${(error as Error).message}`, { cause: error })
    : error;
}
