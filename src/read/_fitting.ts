import { isLongerThanText, sqlStateOf } from "../handle/_driver_error.ts";
import type { MessageRow } from "../messages/_columns.ts";

/** How many messages to read at most after an answer that was too large. */
const MOST_AFTER_FAILURE = 250;

/**
 * Makes a read of pages whose answers fit into a text of this runtime. After an answer that is too large, it
 * reads fewer messages, in a statement of its own; after one that fits, twice as many.
 *
 * @param source What is read, for the error.
 * @param most How many messages to read at most.
 * @param read Reads so many messages from a place.
 */
export function fitting<Place extends string | number | null, Rest extends unknown[], Page>(
  source: string,
  most: () => number,
  read: (count: number, place: Place, ...rest: Rest) => Promise<Page>,
): (place: Place, ...rest: Rest) => Promise<Page> {
  let fits = Infinity;
  return async (place, ...rest) => {
    for (let failure: unknown;;) {
      const count = Math.min(fits, most());
      try {
        const page = await read(count, place, ...rest);
        fits = count * 2;
        return page;
      } catch (error) {
        if (sqlStateOf(error) === "25P02" && failure) {
          throw longerThanText(source, place, "is", failure);
        }
        if (!isLongerThanText(error)) throw error;
        if (count === 1) throw longerThanText(source, place, "alone is", error);
        failure = error;
        fits = Math.ceil(Math.min(count / 4, MOST_AFTER_FAILURE));
      }
    }
  };
}

function longerThanText(
  source: string,
  place: unknown,
  is: "is" | "alone is",
  cause: unknown,
): Error {
  return new RangeError(
    `Cannot read ${source} at ${place === null ? "its first message" : `position ${place}`}: ` +
      (is === "is"
        ? "the messages from there are more than one text can hold, and the transaction has failed: " +
          'read with a smaller "batchSize"'
        : "the message there is longer than a text can be: read on behind it, " +
          "or read it in parts with SQL of your own"),
    { cause },
  );
}

/**
 * Reads as many messages as are wanted, in one statement. Only if that answer is too large, several
 * statements read the messages.
 *
 * @param read Reads so many messages from a place. Fewer mean that there are no more.
 * @param placeBehind The place behind a message, which is below 0 behind the last.
 */
export async function readWhole(
  source: string,
  most: number,
  place: string | null,
  read: (count: string, place: string | null) => Promise<MessageRow[]>,
  placeBehind: (message: MessageRow) => number,
): Promise<MessageRow[]> {
  let whole: MessageRow[] = [];
  const readPart = fitting(
    source,
    () => most - whole.length,
    async (count, place: string | null) => {
      const messages = await read(String(count), place);
      return { messages, isLast: messages.length < count };
    },
  );
  for (;;) {
    const { messages, isLast } = await readPart(place);
    whole = whole.length === 0 ? messages : whole.concat(messages);
    if (isLast || whole.length >= most) return whole;
    const behind = placeBehind(messages.at(-1)!);
    if (behind < 0) return whole;
    place = String(behind);
  }
}
