import { StoreWentBackError } from "../errors.ts";
import type { Cursor, Page } from "../read/_page.ts";
import { readStream } from "../read/read_stream.ts";
import type { Reader } from "../subscribe/_reader.ts";
import { NO_STREAM } from "../write/write.ts";
import type { FoundInStore, StoredPlace } from "./_find_position.ts";
import type { KeptPosition } from "./_kept_position.ts";
import { pauseBefore } from "./_pause.ts";
import { recordedPosition } from "./_read_last_messages.ts";
import { readAfterLoss } from "./_reload_position.ts";
import { setBack } from "./_store_position.ts";

/** What a run remembers of its reads, to find its position again if the store goes back. */
export interface Reading {
  readonly reader: Reader;
  readonly kept: KeptPosition;
  /** The position at which the run began. */
  readonly begin: number;
  /** Reads as the reader does, and remembers. */
  readonly read: Reader["read"];
  /** From where each page was read. */
  readonly origins: WeakMap<Page, Cursor>;
  /** The page in hand. */
  page?: Page;
  /** The position that was reached when the store was seen to have gone back. */
  reached: number;
  /** The version of the position stream when the store was last seen to have everything that was read. */
  trustedVersion: number;
}

/** Begins to read for a kept position. */
export function readFor(kept: KeptPosition, reader: Reader): Reading {
  const origins = new WeakMap<Page, Cursor>();
  const reading: Reading = {
    reader,
    kept,
    begin: kept.position,
    reached: kept.position,
    origins,
    trustedVersion: kept.version,
    read: async (position, mark = null, signal, since = Infinity) => {
      const { version } = kept;
      const recorded = [...kept.unproven];
      // A read of another consumer that began before the last record proves nothing of it.
      const [, recordedAt = 0] = recorded.at(-1) ?? [];
      const page = await reader.read(position, mark, signal, Math.max(since, recordedAt));
      reading.trustedVersion = version;
      for (const [id] of recorded) kept.unproven.delete(id);
      origins.set(page, { position, mark });
      return page;
    },
  };
  return reading;
}

/**
 * Sets the kept position back, after the store went back.
 *
 * The position is the one that is recorded, and never a later one: what the handlers have written to the
 * store since then may be lost, even if the store still has the messages that they handled. What this process has
 * recorded after the last good read counts only up to the last message of the page in hand that the store
 * still has: it may be that of a message that is gone.
 *
 * @throws {ClaimLostError} If another process has the position.
 */
export async function goBack(reading: Reading): Promise<void> {
  const { kept } = reading;
  await kept.idle;
  for (let attempt = 1;; attempt++) {
    // No answer to a question comes between.
    kept.isRecording = true;
    const found = await findAgain(reading).finally(() => kept.isRecording = false);
    try {
      return await setBack(kept, found);
    } catch (error) {
      // The store went back again.
      if (!(error instanceof StoreWentBackError)) throw error;
    }
    await pauseBefore(attempt);
  }
}

async function findAgain(
  reading: Reading,
): Promise<StoredPlace & Pick<FoundInStore, "store">> {
  const { kept } = reading;
  const last = await readAfterLoss(kept);
  const { position: recorded, store } = await kept.find!();
  const isProven = last === undefined || !kept.unproven.has(last.id);
  const position = isProven
    ? recorded
    : Math.min(recorded, await lastSurvivor(reading) ?? await trustedPosition(reading));
  // Another process that handles all messages may have recorded a later one.
  const reached = kept.handlesAll ? reading.reached : Infinity;
  return {
    store,
    position: Math.min(position, reached),
    version: last?.version ?? NO_STREAM,
    versionId: last?.id ?? null,
    stored: last === undefined ? -1 : recordedPosition(last),
  };
}

/** The position that was recorded when the store was last seen to have everything that was read. */
async function trustedPosition({ kept, begin, trustedVersion }: Reading): Promise<number> {
  if (trustedVersion === NO_STREAM) return begin;
  const from = { position: trustedVersion, batchSize: 1 };
  const [trusted] = await readStream(kept.sql, kept.streamName, from);
  return trusted?.position === trustedVersion ? recordedPosition(trusted) : begin;
}

/**
 * The place of the last message of the page in hand that is handled and still there. While it is there, so is
 * every message before it. Undefined if no message of the page is there.
 */
async function lastSurvivor(
  { reader, page, origins, reached }: Reading,
): Promise<number | undefined> {
  const origin = page && origins.get(page);
  if (origin === undefined) return undefined;
  let again: Page;
  try {
    again = await reader.read(origin.position, origin.mark);
  } catch (error) {
    if (error instanceof StoreWentBackError) return undefined;
    throw error;
  }
  const found = Array.from(again.messages());
  let place: number | undefined;
  for (const message of page!.messages()) {
    const same = found.shift();
    if (same?.id !== message.id || reader.placeOf(same) !== reader.placeOf(message)) break;
    place = reader.placeOf(message);
  }
  return place && Math.min(place, reached);
}
