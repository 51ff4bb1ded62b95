import { checkMembers } from "../names/_check.ts";
import type { Message, MessageInput } from "../types.ts";

/**
 * A message to write: new, or one that was read. A message of an aggregate has also a `reference`, and one of an
 * unknown type a `storedType`.
 */
type Writable = MessageInput & Partial<Message> & {
  readonly reference?: unknown;
  readonly storedType?: unknown;
};

export function checkMessage(message: unknown): asserts message is MessageInput {
  checkMembers<Writable>("message", message as Writable, {
    type: true,
    data: true,
    metadata: true,
    id: true,
    streamName: true,
    position: true,
    globalPosition: true,
    time: true,
    reference: true,
    storedType: true,
  }, "an object with a type");
}
