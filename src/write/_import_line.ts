import { isPlain } from "../lib/plain.ts";

/** Parses a line of NDJSON: a message as JSON, with its time as text. */
export function parseLine(line: string): unknown {
  let message;
  try {
    message = JSON.parse(line);
  } catch (error) {
    throw new TypeError(`it is not JSON: ${(error as Error).message}`, { cause: error });
  }
  if (!isPlain(message) || typeof message["time"] !== "string") return message;
  return { ...message, time: new Date(message["time"]) };
}
