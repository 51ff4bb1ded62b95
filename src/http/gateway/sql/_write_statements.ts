import { invalid } from "../../../lib/invalid.ts";
import { encodeMessage } from "../../../messages/_json.ts";
import { checkExpectedVersion, checkTime, checkWritableStreamName } from "../../../names/_check.ts";
import type { Metadata } from "../../../types.ts";
import { writeEach } from "../../../write/_write_each.ts";
import { writeMissing } from "../../../write/_write_missing.ts";
import { writeNew } from "../../../write/_write_new.ts";
import { writeUnlessBusy } from "../../../write/_write_unless_busy.ts";
import type { StreamInput } from "../../../write/stream_input.ts";
import { type IdentifiedMessageInput, synchronize } from "../../../write/synchronize.ts";
import { write } from "../../../write/write.ts";
import { writeStreams } from "../../../write/write_streams.ts";
import { type Call, callTo } from "../_calls.ts";
import { checkCount } from "../_gateway.ts";
import { Refusal } from "../_problem.ts";
import {
  CANNOT,
  numberOf,
  type Parameter,
  type Parameters,
  parsedJson,
  required,
} from "./_parameters.ts";

export function writeOf(parameters: Parameters): Call<number> {
  const { streamName, message, options } = writtenBy(parameters);
  return {
    questions: [callTo("write", { streamName, messages: [message], ...options })],
    send: (sql) => write(sql, streamName, message, options),
  };
}

export function writeNewOf(parameters: Parameters): Call<number> {
  const { streamName, message, options } = writtenBy(parameters);
  return {
    questions: [callTo("write", { streamName, messages: [message], ...options })],
    send: async (sql) => {
      checkWritableStreamName(streamName);
      const expectedVersion = checkExpectedVersion(options);
      return await writeNew(sql, streamName, encodeMessage(message), expectedVersion);
    },
  };
}

/** A snapshot of an entity. */
export function writeUnlessBusyOf({ seen, ...parameters }: Parameters): Call<unknown> {
  const { streamName, message } = writtenBy(parameters);
  return {
    questions: [callTo("write", { streamName, messages: [message] })],
    send: async (sql) => {
      checkWritableStreamName(streamName);
      return await writeUnlessBusy(sql, streamName, encodeMessage(message), seen ?? null);
    },
  };
}

function writtenBy({ streamName, id, type, data, metadata, expectedVersion }: Parameters) {
  return {
    streamName: required(streamName),
    message: {
      id: required(id),
      type: required(type),
      data: parsedJson(data),
      metadata: parsedJson(metadata) as Metadata | null,
    },
    options: { expectedVersion: numberOf(expectedVersion) },
  };
}

export function writeStreamsOf({ columns }: Parameters, maxBatchSize: number): Call<number[]> {
  const streams: (StreamInput & { readonly messages: Row["message"][] })[] = [];
  for (const { streamName, options, message } of rowsOf(columns, maxBatchSize)) {
    if (streams.at(-1)?.streamName !== streamName) {
      streams.push({ streamName: required(streamName), ...options, messages: [] });
    }
    if (message.type !== null) streams.at(-1)!.messages.push(message);
  }
  return {
    questions: streams.map((it) =>
      callTo(streams.length === 1 ? "writeBatch" : "writeStreams", it)
    ),
    send: (sql) => writeStreams(sql, streams),
  };
}

/** Writes that share a statement: each is asked for as if it were alone. */
export function writeEachOf({ columns }: Parameters, maxBatchSize: number): Call<unknown> {
  const writes = rowsOf(columns, maxBatchSize)
    .map((row) => ({ ...row, streamName: required(row.streamName) }));
  return {
    questions: writes.map(({ streamName, message, options }) =>
      callTo("write", { streamName, messages: [message], ...options })
    ),
    send: async (sql) => {
      checkNotEmpty(writes);
      const encoded = writes.map(({ streamName, message, options, mayBeKnown }) => {
        checkWritableStreamName(streamName);
        const expectedVersion = checkExpectedVersion(options);
        return {
          streamName,
          expectedVersion,
          mayBeKnown: mayBeKnown === true,
          ...encodeMessage(message),
        };
      });
      return await writeEach(sql, encoded);
    },
  };
}

/** What is imported of a stream is asked for at once. */
export function importOf({ columns }: Parameters, maxBatchSize: number): Call<unknown> {
  const rows = rowsOf(columns, maxBatchSize)
    .map((row) => ({ ...row, streamName: required(row.streamName) }));
  const imported = new Map<string, Row["message"][]>();
  for (const { streamName, message } of rows) {
    const messages = imported.get(streamName);
    if (messages) messages.push(message);
    else imported.set(streamName, [message]);
  }
  return {
    questions: [...imported].map(([streamName, messages]) =>
      callTo("importMessages", { streamName, messages })
    ),
    send: async (sql) => {
      checkNotEmpty(rows);
      const encoded = rows.map(({ streamName, message, time }) => {
        checkWritableStreamName(streamName);
        const writtenAt = time ? new Date(time) : undefined;
        checkTime(writtenAt);
        return { streamName, time: writtenAt?.toISOString() ?? null, ...encodeMessage(message) };
      });
      return await writeMissing(sql, encoded);
    },
  };
}

function checkNotEmpty(rows: readonly unknown[]): void {
  if (rows.length === 0) throw invalid("messages", rows, "not empty", RangeError);
}

export function synchronizeOf(
  { streamName, columns, expectedVersion }: Parameters,
  maxBatchSize: number,
): Call<number> {
  const name = required(streamName);
  const messages = rowsOf(columns, maxBatchSize).map(({ message }) => message);
  const options = { expectedVersion: numberOf(expectedVersion) };
  return {
    questions: [callTo("synchronize", { streamName: name, messages, ...options })],
    send: (sql) => synchronize(sql, name, messages, options),
  };
}

/** A message as a batch has it. */
interface Row {
  readonly streamName: Parameter | undefined;
  readonly options: { readonly expectedVersion?: number | undefined };
  readonly mayBeKnown: unknown;
  readonly time: string | null | undefined;
  readonly message: IdentifiedMessageInput;
}

function rowsOf(columns: Parameter | undefined, maxBatchSize: number): Row[] {
  const lists = parsedJson(columns) as Record<string, unknown[] | undefined> | null;
  const ids = lists?.["id"];
  if (!Array.isArray(ids)) throw new Refusal(422, `${CANNOT}: its messages are no lists`);
  checkCount(ids.length, maxBatchSize);
  return ids.map((id, at) => {
    const cell = (name: string): unknown => lists?.[name]?.[at];
    const message = { id, type: cell("type"), data: cell("data"), metadata: cell("metadata") };
    return {
      streamName: cell("streamName") as Parameter | undefined,
      options: { expectedVersion: numberOf(cell("expectedVersion") as Parameter | undefined) },
      mayBeKnown: cell("mayBeKnown"),
      time: cell("time") as string | null | undefined,
      message: message as IdentifiedMessageInput,
    };
  });
}
