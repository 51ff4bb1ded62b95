import { wordsOf } from "../lib/words.ts";
import { idFrom } from "../names/id_from.ts";
import { streamName } from "../names/stream_name.ts";
import type { AggregatedMessage } from "../read/reference.ts";
import type { Message, Sql } from "../types.ts";
import { write } from "../write/write.ts";
import type { CheckedConsumer } from "./_checked_consumer.ts";
import type { Parked } from "./parked.ts";

export function parkedStream(
  { category, consumerId }: Pick<CheckedConsumer, "category" | "consumerId">,
): string {
  return streamName(category, consumerId, ["parked"]);
}

/** Writes a message to the parked ones: once, however often it is said of this message at this place. */
export async function park(
  sql: Sql,
  consumer: Pick<CheckedConsumer, "category" | "consumerId">,
  message: Message,
  { failure, attempts, place, parkedAs }: {
    readonly failure: { readonly error: unknown } | undefined;
    readonly attempts: number;
    readonly place: number;
    readonly parkedAs: string | undefined;
  },
): Promise<void> {
  const name = parkedStream(consumer);
  const { id, type, streamName, position, globalPosition } = message;
  const { reference } = message as Partial<AggregatedMessage>;
  const data: Parked = {
    message: { id, type, streamName, position, globalPosition },
    ...(reference && { reference }),
    error: failure === undefined ? null : describe(failure.error),
    attempts,
  };
  await write(sql, name, {
    id: await idFrom(`${name} ${parkedAs ?? `${id} ${place}`}`),
    type: "Parked",
    data,
    metadata: {
      causationMessageStreamName: streamName,
      causationMessagePosition: position,
      causationMessageGlobalPosition: globalPosition,
    },
  });
}

/** An error in words that the database can hold. */
function describe(error: unknown): Parked["error"] {
  const { name, message } = error instanceof Error ? error : new Error(wordsOf(error));
  // NUL, and half a surrogate pair.
  const clean = (text: unknown) => String(text).replace(/\0|\p{Surrogate}/gu, "\ufffd");
  return { name: clean(name), message: clean(message) };
}
