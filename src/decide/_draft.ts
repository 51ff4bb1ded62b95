import { InvalidMessageError } from "../errors.ts";
import { invalid } from "../lib/invalid.ts";
import { wordsOf } from "../lib/words.ts";
import { cannotWrite } from "../messages/_cannot_write.ts";
import { type EncodedMessage, encodeMessage } from "../messages/_json.ts";
import type { Parser } from "../messages/_parser.ts";
import { makerOf } from "../messages/_typed.ts";
import type { Message, MessageInput } from "../types.ts";
import type { EncodedStream } from "../write/_append_to_streams.ts";
import type { Fold } from "./_fold.ts";
import { encodeState, type Snapshots } from "./_snapshot.ts";

/** What was decided over an entity: folded already, and not written yet. */
export interface Draft extends EncodedStream {
  readonly expectedVersion: string;
  /** The state after the messages, with the places that the database gave them. */
  stateAt(globalPositions: readonly number[], time: number): Promise<unknown>;
}

/** The entity that was decided over, as it was read. */
export interface DraftBasis {
  readonly fold: Fold;
  readonly snapshots: Snapshots | undefined;
  readonly parser: Parser | undefined;
  readonly streamName: string;
  readonly state: unknown;
  readonly version: number;
}

/**
 * Makes what is sent of the messages of a decision, and folds them: what cannot be folded must not be
 * written, and neither what makes a state that no snapshot can hold, or the entity could soon not be read.
 *
 * @param idOf The ids of the messages, by their numbers; undefined for the messages' own, or new ones.
 */
export async function draftOf(
  basis: DraftBasis,
  messages: readonly MessageInput[],
  idOf?: (at: number) => string,
): Promise<Draft> {
  const { fold, snapshots, parser, streamName, state: before, version } = basis;
  const prepared = await Promise.all(messages.map(async (message, at) => {
    if (idOf && message?.id !== undefined) {
      throw invalid("id", message.id, 'left out where there is a "commandId", which makes the ids');
    }
    const { encoded, data } = await prepare(message, streamName, parser);
    return { encoded: idOf ? { ...encoded, id: idOf(at) } : encoded, data };
  }));

  // A state that depends on what only the database knows is made once more. Any other is made once, so that
  // it is right even if `evolve` changes the state that it is given.
  let isEarly = false;
  const read = prepared.map((it, at) =>
    unplaced(it, streamName, version + 1 + at, () => isEarly = true)
  );
  let state = before;
  for (const [at, message] of read.entries()) {
    try {
      state = await fold.read(state, message);
    } catch (error) {
      const issues = error instanceof InvalidMessageError
        ? error.issues
        : [{ path: [], message: `it cannot be folded: ${wordsOf(error)}` }];
      throw cannotWrite(messages[at]!, streamName, issues, { cause: error });
    }
  }
  if (snapshots && messages.length) {
    const wasEarly = isEarly;
    await encodeState(state, snapshots.schema);
    // The check may have read a message that the state holds.
    isEarly = wasEarly;
  }
  return {
    streamName,
    expectedVersion: String(version),
    messages: prepared.map(({ encoded }) => encoded),
    async stateAt(globalPositions, time) {
      const placed = read.map((it, at) => place(it, globalPositions[at]!, new Date(time)));
      if (!isEarly) return state;
      let again = before;
      for (const message of placed) again = await fold.read(again, message);
      return again;
    },
  };
}

/** A message as it is sent, and its data as a read will give them. */
interface Prepared {
  readonly encoded: EncodedMessage;
  readonly data: unknown;
}

/** Makes what is sent of a message. `parser` is of the catalogue that reads the stream. */
export async function prepare(
  message: MessageInput,
  streamName: string,
  parser: Parser | undefined,
): Promise<Prepared> {
  const writer = parser ?? makerOf(message);
  const { stored, read } = writer
    ? await writer.encode(message, streamName)
    : { stored: message, read: undefined };
  const encoded = encodeMessage(stored);
  return { encoded, data: parser ? read : JSON.parse(encoded.data ?? "null") };
}

/** A message as it will be read, which tells if it is asked for what only the database knows. */
function unplaced(
  { encoded: { id, type, metadata }, data }: Prepared,
  streamName: string,
  position: number,
  tell: () => void,
): Message {
  const now = new Date();
  return {
    id,
    streamName,
    type,
    position,
    get globalPosition() {
      tell();
      return Number.MAX_SAFE_INTEGER;
    },
    data,
    metadata: JSON.parse(metadata ?? "null"),
    get time() {
      tell();
      return now;
    },
  };
}

/** Gives a message what only the database knows: in place, because a state may hold the message. */
function place(message: Message, globalPosition: number, time: Date): Message {
  if (Object.isSealed(message)) return { ...message, globalPosition, time };
  const member = { enumerable: true, writable: true, configurable: true };
  return Object.defineProperties(message, {
    globalPosition: { ...member, value: globalPosition },
    time: { ...member, value: time },
  });
}
