import { type CheckedConsumer, checkIdentity } from "../consume/_checked_consumer.ts";
import type { ConsumerIdentity } from "../consume/consumer.ts";
import { invalid } from "../lib/invalid.ts";
import { asRefusal } from "./_refusal.ts";

/** The names of a consumer, checked. */
export type Identity = Pick<CheckedConsumer, "category" | "consumerId" | "group" | "source">;

/** Checks the names of a consumer for what can only be done to all of its members at once. */
export function checkWhole(consumer: ConsumerIdentity): Identity {
  const identity = checkIdentity(consumer);
  if (identity.group?.member !== undefined) {
    const rule = 'without "member": it is done to the whole consumer';
    throw asRefusal(invalid("consumerGroup", identity.group, rule));
  }
  return identity;
}

/** The consumer, for sentences. */
export function wordsFor({ consumerId, source }: Identity): string {
  const words = typeof source === "object"
    ? `aggregate "${source.aggregate}"`
    : source === "$all"
    ? '"$all"'
    : `category "${source}"`;
  return `consumer "${consumerId}" of ${words}`;
}

/** Why nothing can be done to a consumer of whose positions the store has none. */
export const NO_POSITION =
  "the store has no position of it: check its names; a consumer that has never run starts at its startAt";

/** The refusal to change a consumer of which the store has no position. */
export function noPosition(what: string, identity: Identity): Error {
  return asRefusal(new Error(`Cannot ${what} ${wordsFor(identity)}: ${NO_POSITION}`));
}

/** The refusal of a position after the end of the store. */
export function beyondEnd(identity: Identity, position: number, end: number): RangeError {
  return asRefusal(
    new RangeError(
      `Cannot rewind ${
        wordsFor(identity)
      } to position ${position}: the store ends before ${end}: ` +
        `give a position up to that, or "end"`,
    ),
  );
}
