import { checkObject } from "../names/_check.ts";
import type { MessageInput } from "../types.ts";

export function checkMessage(message: unknown): asserts message is MessageInput {
  checkObject("message", message, "an object with a type");
}
