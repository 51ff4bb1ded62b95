import type { Delivery } from "../handle/_observe.ts";
import type { Placed, Run } from "./_task.ts";

/** Calls a handler, and tells the observer of the consumer, if there is one. Answers what the handler answers. */
export function callHandler<Answer>(
  { consumer: { observer }, kept }: Pick<Run, "consumer" | "kept">,
  placed: readonly Placed[],
  delivery: Omit<Delivery, "again">,
  call: () => Answer,
): Answer {
  if (observer === undefined) return call();
  const again = placed.some(({ parkedAs }) => parkedAs !== undefined)
    ? "replay"
    : placed.some(({ place }) => place <= kept.redone)
    ? "rewind"
    : undefined;
  return observer.process({ ...delivery, again }, call);
}
