import { readMessages } from "../../../read/read_messages.ts";
import type { MessageInput, Sql } from "../../../types.ts";
import { write } from "../../../write/write.ts";
import { writeBatch } from "../../../write/write_batch.ts";
import { checkJson, readJson } from "../_body.ts";
import { type Call, callTo } from "../_calls.ts";
import { checkCount, type Gateway } from "../_gateway.ts";
import {
  type AppendedBatch,
  BODIES,
  EXPECTED_VERSION_HEADER,
  IDEMPOTENCY_KEY_HEADER,
  parseHeader,
  parseInput,
} from "./_input.ts";
import { Refusal } from "../_problem.ts";

/** The call that a POST to a stream's messages questions for. */
export async function callOfAppend(
  request: Request,
  { maxBodyBytes, maxBatchSize }: Gateway,
  streamName: string,
): Promise<Call<number>> {
  checkJson(request);
  const input = await readJson(request, maxBodyBytes);
  const isBatch = typeof input === "object" && input !== null && "messages" in input;
  if (isBatch && Array.isArray(input.messages)) checkCount(input.messages.length, maxBatchSize);
  const { messages, expectedVersion } = isBatch ? batchOf(input) : batchOfOne(input);
  const options = { expectedVersion: expectedVersionOf(request, expectedVersion) };
  const key = parseHeader(IDEMPOTENCY_KEY_HEADER, request);
  const identified = key === undefined ? messages : await identify(messages, key, streamName);
  return {
    questions: [
      callTo(isBatch ? "writeBatch" : "write", { streamName, messages: identified, ...options }),
    ],
    send: async (sql) => {
      const position = isBatch
        ? await writeBatch(sql, streamName, identified, options)
        : await write(sql, streamName, identified[0]!, options);
      if (key !== undefined) await checkWritten(sql, identified);
      return position;
    },
  };
}

function batchOf(input: unknown): AppendedBatch {
  return parseInput(BODIES.batch, "the body", input);
}

function batchOfOne(input: unknown): AppendedBatch {
  const { expectedVersion, ...message } = parseInput(BODIES.message, "the body", input);
  return { messages: [message], expectedVersion };
}

function expectedVersionOf(request: Request, field: number | undefined): number | undefined {
  const header = parseHeader(EXPECTED_VERSION_HEADER, request);
  if (header === undefined || field === undefined || header === field) return header ?? field;
  throw new Refusal(
    422,
    `Cannot expect version ${header}, as the header says, and ${field}, as the body says: ` +
      "give one of them",
  );
}

/**
 * Gives ids to messages that have none: the same for the same key, stream and place, so that the same
 * request again writes nothing.
 */
async function identify(
  messages: readonly MessageInput[],
  key: string,
  streamName: string,
): Promise<readonly MessageInput[]> {
  return await Promise.all(messages.map(async (message, at) => {
    return { ...message, id: message.id ?? await idOf([key, streamName, at]) };
  }));
}

/** Whether what the store has by these ids is these messages: a key may have been used for others. */
async function checkWritten(sql: Sql, messages: readonly MessageInput[]): Promise<void> {
  const stored = await readMessages(sql, messages.map((message) => message.id!));
  const other = stored.find((it, at) => contentOf(it) !== contentOf(messages[at]!));
  if (other === undefined) return;
  throw new Refusal(
    422,
    "Cannot use this Idempotency-Key again: it was used for another message, at position " +
      `${other.position} of the stream`,
  );
}

/** What a message says, the same however its keys are ordered: the store orders them. */
function contentOf({ type, data = null, metadata = null }: MessageInput): string {
  return JSON.stringify(
    [type, data, metadata],
    (_, value) =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1))
        : value,
  );
}

/** A UUID of version 8: 120 bits of a hash. */
async function idOf(name: readonly [key: string, streamName: string, at: number]): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(name));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const hex = [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(
    /^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/,
    "$1-$2-8$3-8$4-$5",
  );
}
