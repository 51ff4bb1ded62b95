import type { Opened } from "../../_api.ts";
import { isFailure } from "./call.ts";
import { type ConsumerRow, sourceOf } from "./consumers.ts";
import { opened } from "./pulse.ts";
import { useValue } from "./store.ts";

/** What the studio is; undefined before it has answered. */
export function useOpened(): Opened | undefined {
  const studio = useValue(opened);
  return studio === undefined || isFailure(studio) ? undefined : studio;
}

/** Whether the page offers what changes something. */
export function useMayWrite(): boolean {
  return useOpened()?.readOnly === false;
}

/** Whether the studio has the handlers of a consumer. */
export function hasHandlers(studio: Opened | undefined, consumer: ConsumerRow): boolean {
  return studio?.consumers.some(({ category, aggregate, consumerId }) =>
    consumerId === consumer.consumerId && (category ?? aggregate) === sourceOf(consumer)
  ) === true;
}
