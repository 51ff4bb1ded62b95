import { writeRecorded } from "../../../consume/_write_recorded.ts";
import { writeReferences } from "../../../consume/_write_references.ts";
import { groupBy } from "../../../lib/group_by.ts";
import { invalid } from "../../../lib/invalid.ts";
import { encodeMessage } from "../../../messages/_json.ts";
import {
  checkExpectedVersion,
  checkId,
  checkInteger,
  checkName,
  checkTime,
  checkWritableStreamName,
} from "../../../names/_check.ts";
import { category } from "../../../names/stream_name.ts";
import type { Metadata, Sql } from "../../../types.ts";
import { type EachWrite, writeEach } from "../../../write/_write_each.ts";
import { writeEachNew } from "../../../write/_write_each_new.ts";
import { isPointer } from "../../../write/_translate.ts";
import {
  type EncodedImport,
  type ImportBounds,
  type Pointers,
  writeMissing,
} from "../../../write/_write_missing.ts";
import { writeMissingPlain } from "../../../write/_write_missing_plain.ts";
import { writeNew } from "../../../write/_write_new.ts";
import { writeUnlessBusy } from "../../../write/_write_unless_busy.ts";
import type { StreamInput } from "../../../write/stream_input.ts";
import { type IdentifiedMessageInput, synchronize } from "../../../write/synchronize.ts";
import { write } from "../../../write/write.ts";
import { writeStreams } from "../../../write/write_streams.ts";
import { type Call, callTo } from "../_calls.ts";
import { checkMessageCount } from "../_authorize.ts";
import { Refusal } from "../_problem.ts";
import {
  CANNOT_RUN,
  jsonOf,
  numberOf,
  type Parameter,
  type Parameters,
  requiredText,
} from "./_parameters.ts";

export function writeCall(parameters: Parameters): Call<number> {
  const { streamName, message, options } = writeArgumentsOf(parameters);
  return {
    toAuthorize: [callTo("write", { streamName, messages: [message], ...options })],
    send: (sql) => write(sql, streamName, message, options),
  };
}

export function writeNewCall(parameters: Parameters): Call<number> {
  const { streamName, message, options } = writeArgumentsOf(parameters);
  return {
    toAuthorize: [callTo("write", { streamName, messages: [message], ...options })],
    send: async (sql) => {
      checkWritableStreamName(streamName);
      const expectedVersion = checkExpectedVersion(options);
      return await writeNew(sql, streamName, encodeMessage(message), expectedVersion);
    },
  };
}

/** Writes the snapshot of an entity. */
export function writeUnlessBusyCall({ seen, ...parameters }: Parameters): Call<unknown> {
  const { streamName, message } = writeArgumentsOf(parameters);
  return {
    toAuthorize: [callTo("write", { streamName, messages: [message] })],
    send: async (sql) => {
      checkWritableStreamName(streamName);
      return await writeUnlessBusy(sql, streamName, encodeMessage(message), seen ?? null);
    },
  };
}

/** Stores the position of a consumer. */
export function writeRecordedCall(
  { store, versionId = null, ...parameters }: Parameters,
): Call<unknown> {
  const { streamName, message, options } = writeArgumentsOf(parameters);
  return {
    toAuthorize: [callTo("write", { streamName, messages: [message], ...options })],
    send: async (sql) => {
      checkWritableStreamName(streamName);
      const expectedVersion = Number(checkExpectedVersion(options));
      if (typeof versionId === "string") checkId(versionId);
      const expected = { store: storeNameOf(store), versionId };
      return await writeRecorded(
        sql,
        streamName,
        encodeMessage(message),
        expectedVersion,
        expected,
      );
    },
  };
}

/** Writes the references of an aggregate, and its position. */
export function writeReferencesCall(
  { columns, store, versionId = null, ...parameters }: Parameters,
  maxBatchSize: number,
): Call<unknown> {
  const { streamName, message: { id, data }, options } = writeArgumentsOf({
    ...parameters,
    type: "Recorded",
  });
  const rows = streamRowsOf(columns, maxBatchSize);
  const recorded = { id, type: "Recorded", data };
  const streams = [{ streamName, messages: [recorded], ...options }, ...messagesByStream(rows)];
  return {
    toAuthorize: callsToWrite(streams),
    send: async (sql) => {
      for (const { streamName } of streams) checkWritableStreamName(streamName);
      checkReferences(rows);
      if (typeof versionId === "string") checkId(versionId);
      const expectedVersion = Number(checkExpectedVersion(options));
      const position = { streamName, expectedVersion, versionId, ...encodeMessage(recorded) };
      const references = rows.map(({ streamName, message }) => (
        { streamName, ...encodeMessage(message) }
      ));
      return await writeReferences(sql, position, references, storeNameOf(store));
    },
  };
}

/** The statement locks one category, and writes no data. */
function checkReferences(
  rows: readonly { readonly streamName: string; readonly message: BatchRow["message"] }[],
): void {
  const isFit = ({ streamName, message: { data, metadata } }: typeof rows[number]): boolean =>
    category(streamName) === category(rows[0]!.streamName) && data === null && !!metadata;
  if (rows.every(isFit)) return;
  throw new Refusal(422, `${CANNOT_RUN}: its messages are no references of one aggregate`);
}

function storeNameOf(store: Parameter | undefined): string | null {
  if (typeof store !== "string") return null;
  if (/^[0-9a-f]{32}$/.test(store)) return store;
  throw new Refusal(422, `${CANNOT_RUN}: no store has the name ${JSON.stringify(store)}`);
}

interface WriteArguments {
  readonly streamName: string;
  readonly message: IdentifiedMessageInput;
  readonly options: { readonly expectedVersion: number | undefined };
}

function writeArgumentsOf(
  { streamName, id, type, data, metadata, expectedVersion }: Parameters,
): WriteArguments {
  return {
    streamName: requiredText(streamName),
    message: {
      id: requiredText(id),
      type: requiredText(type),
      data: jsonOf(data),
      metadata: jsonOf(metadata) as Metadata | null,
    },
    options: { expectedVersion: numberOf(expectedVersion) },
  };
}

export function writeStreamsCall({ columns }: Parameters, maxBatchSize: number): Call<number[]> {
  const streams: (StreamInput & { readonly messages: BatchRow["message"][] })[] = [];
  for (const { streamName, options, message } of streamRowsOf(columns, maxBatchSize)) {
    if (streams.at(-1)?.streamName !== streamName) {
      streams.push({ streamName, ...options, messages: [] });
    }
    // A row without a type is a stream that is only checked for its version.
    if (message.type !== null) streams.at(-1)!.messages.push(message);
  }
  return { toAuthorize: callsToWrite(streams), send: (sql) => writeStreams(sql, streams) };
}

function callsToWrite(streams: readonly StreamInput[]): Call<unknown>["toAuthorize"] {
  return streams.map((it) => callTo(streams.length === 1 ? "writeBatch" : "writeStreams", it));
}

function messagesByStream(
  rows: readonly StreamRow[],
): { readonly streamName: string; readonly messages: BatchRow["message"][] }[] {
  return Array.from(
    groupBy(rows, ({ streamName }) => streamName),
    ([streamName, rows]) => ({ streamName, messages: rows.map(({ message }) => message) }),
  );
}

/** Writes of `groupCommit`, which share a statement. `authorize` is asked about each as about a `write`. */
export function writeEachCall({ columns }: Parameters, maxBatchSize: number): Call<unknown> {
  return eachCall(streamRowsOf(columns, maxBatchSize), writeEach);
}

/** Such writes with new ids. The columns name each stream once. */
export function writeEachNewCall({ columns }: Parameters, maxBatchSize: number): Call<unknown> {
  const rows = batchRowsOf(columns, maxBatchSize);
  const writes = rows.map((row, at) => ({
    ...row,
    streamName: requiredText(rows[(row.inStream ?? at + 1) - 1]?.streamName),
  }));
  return eachCall(writes, writeEachNew);
}

function eachCall(
  writes: readonly StreamRow[],
  send: (sql: Sql, writes: readonly EachWrite[]) => Promise<unknown>,
): Call<unknown> {
  return {
    toAuthorize: writes.map(({ streamName, message, options }) =>
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
      return await send(sql, encoded);
    },
  };
}

/** `authorize` is asked once for each stream, about all messages that the stream gets. */
export function importCall(parameters: Parameters, maxBatchSize: number): Call<unknown> {
  const { first = null, last = null } = (jsonOf(parameters["columns"]) ?? {}) as Partial<
    ImportBounds
  >;
  return importedCall(parameters, maxBatchSize, async (sql, messages) => {
    for (const bound of [first, last]) if (bound !== null) checkInteger("bound", bound, 0);
    return await writeMissing(sql, messages, { first, last });
  });
}

export function importPlainCall(parameters: Parameters, maxBatchSize: number): Call<unknown> {
  return importedCall(parameters, maxBatchSize, writeMissingPlain);
}

function importedCall(
  { columns }: Parameters,
  maxBatchSize: number,
  send: (sql: Sql, messages: readonly EncodedImport[]) => Promise<unknown>,
): Call<unknown> {
  const rows = streamRowsOf(columns, maxBatchSize);
  return {
    toAuthorize: messagesByStream(rows).map((it) => callTo("importMessages", it)),
    send: async (sql) => {
      checkNotEmpty(rows);
      const encoded = rows.map(({ streamName, message, time, pointers }) => {
        checkName("streamName", streamName);
        const writtenAt = time ? new Date(time) : undefined;
        checkTime(writtenAt);
        checkPointers(streamName, message, pointers);
        const columns = encodeMessage(message);
        return { streamName, time: writtenAt?.toISOString() ?? null, ...columns, pointers };
      });
      return await send(sql, encoded);
    },
  };
}

/** Only positions that are bookkeeping are replaced: of anything else, `authorize` has seen what is written. */
function checkPointers(
  streamName: string,
  message: IdentifiedMessageInput,
  { cause, upTo, path, apart, lowest, highest }: Pointers,
): void {
  for (const [name, value] of Object.entries({ cause, upTo, lowest, highest })) {
    if (value !== null) checkInteger(name, value, 0);
  }
  if (apart !== null) checkName("apart", apart);
  const isOfCause = typeof message.metadata?.causationMessageGlobalPosition === "number";
  if (cause !== null && !isOfCause || upTo !== null && !isPointer(streamName, message, path)) {
    throw new Refusal(422, `${CANNOT_RUN}: its messages have no such positions`);
  }
}

function checkNotEmpty(rows: readonly unknown[]): void {
  if (rows.length === 0) throw invalid("messages", rows, "not empty", RangeError);
}

export function synchronizeCall(
  { streamName, columns, expectedVersion }: Parameters,
  maxBatchSize: number,
): Call<number> {
  const name = requiredText(streamName);
  const messages = batchRowsOf(columns, maxBatchSize).map(({ message }) => message);
  const options = { expectedVersion: numberOf(expectedVersion) };
  return {
    toAuthorize: [callTo("synchronize", { streamName: name, messages, ...options })],
    send: (sql) => synchronize(sql, name, messages, options),
  };
}

/** A message of a batch, with the other parameters of its row. The operation checks their types. */
interface BatchRow {
  readonly streamName: Parameter | undefined;
  readonly options: { readonly expectedVersion?: number | undefined };
  readonly mayBeKnown: unknown;
  readonly inStream: number | undefined;
  readonly time: string | null | undefined;
  readonly pointers: Pointers;
  readonly message: IdentifiedMessageInput;
}

/** A row that names its stream. */
interface StreamRow extends BatchRow {
  readonly streamName: string;
}

function streamRowsOf(columns: Parameter | undefined, maxBatchSize: number): StreamRow[] {
  return batchRowsOf(columns, maxBatchSize)
    .map((row) => ({ ...row, streamName: requiredText(row.streamName) }));
}

function batchRowsOf(columns: Parameter | undefined, maxBatchSize: number): BatchRow[] {
  const lists = jsonOf(columns) as Record<string, unknown[] | undefined> | null;
  const ids = lists?.["id"];
  if (!Array.isArray(ids)) throw new Refusal(422, `${CANNOT_RUN}: its messages are no lists`);
  checkMessageCount(ids.length, maxBatchSize);
  return ids.map((id, at) => {
    const cell = (name: string): unknown => lists?.[name]?.[at];
    const message = { id, type: cell("type"), data: cell("data"), metadata: cell("metadata") };
    return {
      streamName: cell("streamName") as Parameter | undefined,
      options: { expectedVersion: numberOf(cell("expectedVersion") as Parameter | undefined) },
      mayBeKnown: cell("mayBeKnown"),
      inStream: cell("inStream") as number | undefined,
      time: cell("time") as string | null | undefined,
      pointers: {
        cause: (cell("cause") ?? null) as number | null,
        upTo: (cell("upTo") ?? null) as number | null,
        path: (cell("path") ?? null) as Pointers["path"],
        apart: (cell("apart") ?? null) as string | null,
        lowest: (cell("lowest") ?? null) as number | null,
        highest: (cell("highest") ?? null) as number | null,
      },
      message: message as IdentifiedMessageInput,
    };
  });
}
