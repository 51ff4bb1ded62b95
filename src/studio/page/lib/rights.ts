import type { ChangeName, Opened } from "../../_api.ts";
import { isFailure } from "./call.ts";
import { type ConsumerRow, sourceOf } from "./consumers.ts";
import { opened } from "./pulse.ts";
import { useValue } from "./store.ts";

/** What the studio is; undefined before it has answered. */
export function useOpened(): Opened | undefined {
  const studio = useValue(opened);
  return studio === undefined || isFailure(studio) ? undefined : studio;
}

/** Whether whoever looks may make a change. */
export function useMay(): (change: ChangeName) => boolean {
  const may = useOpened()?.may;
  return (change) => may?.includes(change) === true;
}

/** Whether the studio has the handlers of a consumer. */
export function hasHandlers(studio: Opened | undefined, consumer: ConsumerRow): boolean {
  return studio?.consumers.some(({ category, aggregate, consumerId }) =>
    consumerId === consumer.consumerId && (category ?? aggregate) === sourceOf(consumer)
  ) === true;
}

/** The database that the studio shows: "store", "store_0 and 2 more"; empty if it is not known. */
export function databaseText(studio: Opened | undefined): string {
  const [first, ...others] = studio?.databases ?? [];
  return others.length === 0 ? first ?? "" : `${first} and ${others.length} more`;
}
