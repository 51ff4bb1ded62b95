import { InvalidMessageError } from "../errors.ts";
import { wordsOf } from "../lib/words.ts";
import type { Message } from "../types.ts";
import type { Upcast } from "./definition.ts";

/** Lifts data version by version to the newest version, which is the one that the schema takes. */
export function liftToNewest(
  upcasts: readonly Upcast[],
  data: unknown,
  message: Message,
): unknown {
  if (upcasts.length === 0) return data;
  const newest = upcasts.length + 1;
  const version = statedVersion(message, newest);
  if (version === newest) return data;
  // A lift may change its data in place, and a retry lifts the same message again: lift a copy.
  data = structuredClone(data);
  upcasts.forEach((upcast, at) => {
    const { when, lift } = typeof upcast === "function"
      ? { when: () => true, lift: upcast }
      : upcast;
    try {
      const isOlder = version === undefined ? when(data, message) : version <= at + 1;
      if (isOlder) data = lift(data, message);
    } catch (error) {
      const reason = `version ${at + 1} cannot be lifted: ${wordsOf(error)}`;
      throw cannotLift(message, reason, { cause: error });
    }
  });
  return data;
}

/** The version that the message's `schemaVersion` says; undefined if it has none. */
function statedVersion(message: Message, newest: number): number | undefined {
  const stated: unknown = message.metadata?.schemaVersion;
  if (stated == null) return undefined;
  const isNumber = /^[1-9]\d*$/.test(String(stated)) && !Array.isArray(stated);
  if (isNumber && Number(stated) <= newest) return Number(stated);
  throw cannotLift(
    message,
    `its schemaVersion is ${JSON.stringify(stated)}, and those up to "${newest}" are defined`,
  );
}

function cannotLift(
  message: Message,
  reason: string,
  options?: ErrorOptions,
): InvalidMessageError {
  const issues = [{ path: [], message: reason }];
  return new InvalidMessageError(message, message.streamName, issues, options);
}
