import { storeFor } from "../../../handle/_store_for.ts";
import { WrongExpectedVersionError } from "../../../errors.ts";
import { readMessages } from "../../../read/read_messages.ts";
import type { MessageInput, Sql } from "../../../types.ts";
import { write } from "../../../write/write.ts";
import { writeBatch } from "../../../write/write_batch.ts";
import { writeStreams } from "../../../write/write_streams.ts";
import { checkContentType, readJson } from "../_body.ts";
import { type Call, callTo } from "../_calls.ts";
import { checkMessageCount } from "../_authorize.ts";
import type { Gateway } from "../_gateway.ts";
import { isAnswerTooLarge } from "../_limit_answers.ts";
import {
  type AppendedBatch,
  BODIES,
  EXPECTED_VERSION_HEADER,
  IDEMPOTENCY_KEY_HEADER,
  parseHeader,
  parseInput,
} from "./_input.ts";
import { Refusal, refusalOf } from "../_problem.ts";
import { preconditionsOf } from "./_preconditions.ts";

/** Makes the call for a POST to the messages of a stream. */
export async function appendCall(
  request: Request,
  { maxBodyBytes, maxBatchSize, readBackSql }: Gateway,
  streamName: string,
): Promise<Call<number>> {
  checkContentType(request);
  const input = await readJson(request, maxBodyBytes);
  const isBatch = typeof input === "object" && input !== null && "messages" in input;
  if (isBatch && Array.isArray(input.messages)) {
    checkMessageCount(input.messages.length, maxBatchSize);
  }
  const { messages, expectedVersion } = isBatch ? parseBatch(input) : parseSingle(input);
  const preconditions = preconditionsOf(request);
  const options = {
    expectedVersion: expectedVersionOf(request, [expectedVersion, ...preconditions]),
  };
  const key = parseHeader(IDEMPOTENCY_KEY_HEADER, request);
  const identified = key === undefined ? messages : await withIds(messages, key, streamName);
  // Whoever chose an id may not know what the store has by that id.
  const keyed = key === undefined
    ? []
    : identified.filter((_, at) => messages[at]!.id === undefined);
  return {
    toAuthorize: [
      callTo(isBatch ? "writeBatch" : "write", { streamName, messages: identified, ...options }),
    ],
    send: async (sql) => {
      const writing = isBatch
        ? writeBatch(sql, streamName, identified, options)
        : write(sql, streamName, identified[0]!, options);
      const position = await writing.catch((error) => {
        throw preconditions.length > 0 ? asFailedPrecondition(error) : error;
      });
      if (keyed.length > 0) await checkSameContent(storeFor(readBackSql, streamName), keyed);
      return position;
    },
  };
}

/** Makes the call for a POST to several streams. */
export async function writeStreamsCallOf(
  request: Request,
  { maxBodyBytes, maxBatchSize, readBackSql }: Gateway,
): Promise<Call<number[]>> {
  checkContentType(request);
  if (request.headers.has(EXPECTED_VERSION_HEADER.name)) {
    throw new Refusal(
      422,
      "Cannot expect one version of several streams: say it of each in the body",
    );
  }
  const { streams } = parseInput(BODIES.streams, "the body", await readJson(request, maxBodyBytes));
  checkMessageCount(
    streams.reduce((count, { messages }) => count + Math.max(messages.length, 1), 0),
    maxBatchSize,
  );
  const key = parseHeader(IDEMPOTENCY_KEY_HEADER, request);
  const keyed: MessageInput[] = [];
  const identified = await Promise.all(streams.map(async ({ messages, ...stream }) => {
    if (key === undefined) return { ...stream, messages };
    const withKey = await withIds(messages, key, stream.streamName);
    keyed.push(...withKey.filter((_, at) => messages[at]!.id === undefined));
    return { ...stream, messages: withKey };
  }));
  return {
    toAuthorize: identified.map((stream) =>
      callTo(identified.length === 1 ? "writeBatch" : "writeStreams", stream)
    ),
    send: async (sql) => {
      const positions = await writeStreams(sql, identified);
      const store = storeFor(readBackSql, ...identified.map(({ streamName }) => streamName));
      if (keyed.length > 0) await checkSameContent(store, keyed);
      return positions;
    },
  };
}

function parseBatch(input: unknown): AppendedBatch {
  return parseInput(BODIES.batch, "the body", input);
}

function parseSingle(input: unknown): AppendedBatch {
  const { expectedVersion, ...message } = parseInput(BODIES.message, "the body", input);
  return { messages: [message], expectedVersion };
}

/** The version that the request expects, in whichever places it says so. */
function expectedVersionOf(
  request: Request,
  others: readonly (number | undefined)[],
): number | undefined {
  const header = parseHeader(EXPECTED_VERSION_HEADER, request);
  const [expected, ...more] = new Set([header, ...others].filter((it) => it !== undefined));
  if (more.length === 0) return expected;
  throw new Refusal(
    422,
    `Cannot expect version ${expected} and version ${more[0]}, as the headers and the body say: ` +
      "give one of them",
  );
}

/** A conditional header asks for status 412 where `Expected-Version` asks for 409. */
function asFailedPrecondition(error: unknown): unknown {
  if (!(error instanceof WrongExpectedVersionError)) return error;
  const { message, members } = refusalOf(error);
  return new Refusal(412, message, members);
}

/**
 * Gives an id to each message that has none. The same key, stream and place in the batch give the same
 * id, so that the same request writes nothing when it is sent again.
 */
async function withIds(
  messages: readonly MessageInput[],
  key: string,
  streamName: string,
): Promise<readonly MessageInput[]> {
  return await Promise.all(messages.map(async (message, at) => {
    return { ...message, id: message.id ?? await hashedId([key, streamName, at]) };
  }));
}

/** Refuses the key if the store has other messages by the ids that it made: it was used for them before. */
async function checkSameContent(sql: Sql, messages: readonly MessageInput[]): Promise<void> {
  const stored = await readMessages(sql, messages.map((message) => message.id!)).catch((error) => {
    if (!isAnswerTooLarge(error)) throw error;
    throw new Refusal(
      422,
      "Cannot use this Idempotency-Key again: what was written under it is larger than this request",
    );
  });
  const other = stored.find((it, at) => contentOf(it) !== contentOf(messages[at]!));
  if (other === undefined) return;
  throw new Refusal(
    422,
    "Cannot use this Idempotency-Key again: it was used for another message, at position " +
      `${other.position} of the stream`,
  );
}

/** The content as text. Object keys are sorted, because the store does not keep their order. */
function contentOf({ type, data = null, metadata = null }: MessageInput): string {
  return JSON.stringify(
    [type, data, metadata],
    (_, value) =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1))
        : value,
  );
}

/** Makes a UUID of version 8, with 120 bits of a hash. */
async function hashedId(
  name: readonly [key: string, streamName: string, at: number],
): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(name));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const hex = [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(
    /^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/,
    "$1-$2-8$3-8$4-$5",
  );
}
