import { wordsOf } from "../lib/words.ts";
import { causationOf } from "../messages/_causation.ts";
import { type ConsumerNames, parkedStream } from "../names/_own_streams.ts";
import { idFrom } from "../names/id_from.ts";
import type { AggregatedMessage } from "../read/reference.ts";
import type { Sql } from "../types.ts";
import { write } from "../write/write.ts";
import type { Placed } from "./_task.ts";
import type { Thrown } from "./_thrown.ts";
import type { Parked } from "./parked.ts";

/**
 * Writes that a message is parked.
 *
 * The id comes from the message and its place, or from the parked message that is replayed. If it is
 * written again, the store still has it once.
 *
 * @param failure What the handler threw; undefined if it answered "park".
 */
export async function park(
  sql: Sql,
  consumer: ConsumerNames,
  { message, place, parkedAs }: Placed,
  attempts: number,
  failure: Thrown | undefined,
): Promise<void> {
  const name = parkedStream(consumer);
  const { id, type, streamName, position, globalPosition } = message;
  const { reference } = message as Partial<AggregatedMessage>;
  const data: Parked = {
    message: { id, type, streamName, position, globalPosition },
    ...(reference && { reference }),
    error: failure === undefined ? null : describe(failure.cause),
    attempts,
  };
  await write(sql, name, {
    id: await idFrom(`${name} ${parkedAs ?? `${id} ${place}`}`),
    type: "Parked",
    data,
    metadata: causationOf(message),
  });
}

/** The error as text that Postgres can hold: without NUL and lone surrogates. */
function describe(error: unknown): Parked["error"] {
  const { name, message } = error instanceof Error ? error : new Error(wordsOf(error));
  const clean = (text: unknown) => String(text).replace(/\0|\p{Surrogate}/gu, "\ufffd");
  return { name: clean(name), message: clean(message) };
}
