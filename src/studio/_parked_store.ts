import { checkIdentity } from "../consume/_checked_consumer.ts";
import type { ConsumerIdentity } from "../consume/consumer.ts";
import { readLastMessages } from "../consume/_read_last_messages.ts";
import { Refusal } from "../http/gateway/_problem.ts";
import { parkedStream, replayStream } from "../names/_own_streams.ts";
import type { Sql } from "../types.ts";
import { storeIn, type Studio } from "./_studio.ts";

/** What is parked is looked at to its end: a million messages take PostgreSQL 0.3 s. */
const LONGEST_PARKED = 1_000_000;

/**
 * The handle for what a consumer has parked.
 *
 * @throws {Refusal} If more was parked since the last replay than the studio looks at.
 */
export async function parkedStoreIn(
  studio: Studio,
  { consumer, partition }: {
    readonly consumer: ConsumerIdentity;
    readonly partition?: number;
  },
): Promise<Sql> {
  const store = storeIn(studio, partition);
  const identity = checkIdentity(consumer);
  const lasts = await readLastMessages(store, [parkedStream(identity), replayStream(identity)]);
  const lastOf = (name: string) => lasts.find(({ streamName }) => streamName === name);
  const version = lastOf(parkedStream(identity))?.version ?? -1;
  const { position } = lastOf(replayStream(identity))?.data as { position?: unknown } ?? {};
  const next = /^\d{1,15}$/.test(String(position)) ? Number(position) : 0;
  if (version - next < LONGEST_PARKED) return store;
  throw new Refusal(
    422,
    `Cannot look at what "${identity.consumerId}" has parked: it is more than ` +
      `${LONGEST_PARKED} messages since the last replay. Use messagedb parked`,
    { code: "TOO_MANY_PARKED" },
  );
}
