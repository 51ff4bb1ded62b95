import type { Message, Metadata } from "../types.ts";

/** The metadata of a message that was caused by another, under Eventide's names. */
export function causationOf(
  { streamName, position, globalPosition }: Pick<
    Message,
    "streamName" | "position" | "globalPosition"
  >,
): Metadata {
  return {
    causationMessageStreamName: streamName,
    causationMessagePosition: position,
    causationMessageGlobalPosition: globalPosition,
  };
}
