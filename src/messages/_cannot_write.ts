import { InvalidMessageError, type Issue } from "../errors.ts";
import type { Message, MessageInput } from "../types.ts";

/** The error of a message that is not written, because of what is wrong with it. */
export function cannotWrite(
  message: MessageInput,
  streamName: string,
  issues: readonly Issue[],
  options?: ErrorOptions,
): InvalidMessageError {
  // A message that was read has a position. The error would take that for the place that was read.
  const { position, ...input } = message as Message;
  const invalidMessage = position === undefined ? message : input;
  return new InvalidMessageError(invalidMessage, streamName, issues, options);
}
