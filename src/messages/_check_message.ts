import { invalid } from "../lib/invalid.ts";
import type { MessageInput } from "../types.ts";

export function checkMessage(message: unknown): asserts message is MessageInput {
  if (typeof message !== "object" || message === null) {
    throw invalid("message", message, "an object with a type");
  }
}
