import type { Opened } from "../../_api.ts";
import { isFailure } from "./call.ts";
import { type ConsumerOf, sourceOf } from "./consumers.ts";
import { opened } from "./pulse.ts";
import { useShared } from "./store.ts";

/** What the studio is; undefined before it has answered. */
export function useOpened(): Opened | undefined {
  const studio = useShared(opened);
  return studio === undefined || isFailure(studio) ? undefined : studio;
}

/** Whether the page offers what changes something. */
export function useMayWrite(): boolean {
  return useOpened()?.readOnly === false;
}

/** Whether the studio has the handlers of a consumer. */
export function hasHandlers(studio: Opened | undefined, consumer: ConsumerOf): boolean {
  return studio?.consumers.some(({ category, aggregate, consumerId }) =>
    consumerId === consumer.consumerId && (category ?? aggregate) === sourceOf(consumer)
  ) === true;
}
