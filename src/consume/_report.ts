import type { ConsumerGroup } from "../types.ts";
import type { CheckedConsumer } from "./_checked_consumer.ts";
import type { ConsumerEventBody } from "./consumer_event.ts";

/** Tells the consumer's observer what has happened. */
export type Report = (event: ConsumerEventBody) => void;

/** The consumer, whose `onRetry` tells the observer, too. */
export function reportingRetries<Retried extends Pick<CheckedConsumer, "onRetry">>(
  consumer: Retried,
  report: Report | undefined,
): Retried {
  if (report === undefined) return consumer;
  const onRetry = (error: unknown) => {
    consumer.onRetry?.(error);
    report({ type: "error", error });
  };
  return { ...consumer, onRetry };
}

/** Makes the report of a member; undefined if nobody observes. */
export function reporterOf(
  { onEvent, category, consumerId }: CheckedConsumer,
  group: ConsumerGroup | undefined,
): Report | undefined {
  if (onEvent === undefined) return undefined;
  const source = { category, consumerId, member: group?.member, size: group?.size };
  return (event) => {
    try {
      // The observer may be an async function.
      Promise.resolve(onEvent({ ...source, ...event })).catch(() => {});
    } catch {
      // An observer cannot break what it observes.
    }
  };
}
