import { InvalidMessageError } from "../errors.ts";
import { invalid } from "../lib/invalid.ts";
import { checkId, checkInteger, checkName } from "../names/_check.ts";
import type { Message } from "../types.ts";
import type { Parser } from "./_parser.ts";
import type { MessageParser } from "./message_parser.ts";

/** A time as JSON holds it. Without a zone, the text could be any of many times. */
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;

export function messageParserOf({ decode }: Parser): MessageParser<Message | undefined> {
  return {
    parse: async (message) => await decode(checkStored(message)),
    async safeParse(message) {
      let stored;
      try {
        stored = checkStored(message);
      } catch (error) {
        return { success: false, error: error as TypeError | RangeError };
      }
      try {
        return { success: true, message: await decode(stored) };
      } catch (error) {
        if (error instanceof InvalidMessageError) return { success: false, error };
        throw error;
      }
    },
  };
}

/** Checks that a value is a message as it is stored, with all its members. */
function checkStored(value: unknown): Message {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    // The text of a message may be long, and personal.
    const given = typeof value === "string" && value.length > 20 ? `${value.slice(0, 20)}…` : value;
    throw invalid("message", given, "an object: a message as it is stored");
  }
  const message = value as { readonly [Member in keyof Message]?: unknown };
  const { type, streamName, position, globalPosition, id } = message;
  const { data = null, metadata = null, time } = message;
  checkName("type", type);
  checkName("streamName", streamName);
  checkId(id);
  checkInteger("position", position, 0);
  checkInteger("globalPosition", globalPosition, 0);
  if (typeof metadata !== "object" || Array.isArray(metadata)) {
    throw invalid("metadata", metadata, "an object or null");
  }
  return { ...message, data, metadata, time: dateOf(time) } as Message;
}

function dateOf(time: unknown): Date {
  const date = typeof time === "string" && ISO_TIME.test(time) ? new Date(time) : time;
  const isDate = Object.prototype.toString.call(date) === "[object Date]";
  if (isDate && !Number.isNaN((date as Date).getTime())) return date as Date;
  throw invalid("time", time, "a Date, or the ISO text of one: 2026-07-28T09:30:00.000Z");
}
