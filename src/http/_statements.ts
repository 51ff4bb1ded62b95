import {
  checkCategory,
  checkExpectedVersion,
  checkInteger,
  checkPage,
  checkPattern,
  checkStreamName,
  checkWritableStreamName,
  invalid,
} from "../_check.ts";
import { encode } from "../_json.ts";
import { lookAtWriters, readPage, type Wanted } from "../_read_settled.ts";
import { writeEach } from "../_write_each.ts";
import { writeUnlessBusy } from "../_write_unless_busy.ts";
import { checkTypes, readerOf } from "../_source.ts";
import { checkStartAt, firstSince } from "../_start.ts";
import { readLastMessages } from "../_stored_positions.ts";
import { writeMissing } from "../import_messages.ts";
import { messageStoreVersion } from "../message_store_version.ts";
import { categories, entityIds, streamNames } from "../names.ts";
import { checkAggregateName, firstReferenceSince, readAggregate } from "../read_aggregate.ts";
import { readAll } from "../read_all.ts";
import { readCategory } from "../read_category.ts";
import { readLastOfTypes } from "../read_last_message.ts";
import { readMessages } from "../read_messages.ts";
import { readStream } from "../read_stream.ts";
import { category as categoryOf, id as idOf } from "../stream_name.ts";
import { streamVersion } from "../stream_version.ts";
import { type IdentifiedMessageInput, synchronize } from "../synchronize.ts";
import type { Direction, Metadata, Sql } from "../types.ts";
import { write, writeNew } from "../write.ts";
import { type StreamInput, writeStreams } from "../write_streams.ts";
import { parseJson } from "./_body.ts";
import { ask, type Call, type GatewayCall, type SentStatement, statementOf } from "./_calls.ts";
import { checkCount } from "./_gateway.ts";
import { Refusal } from "./_problem.ts";

type Parameter = string | null;

/** A statement's parameters by name; one that it does not have is undefined. */
type Parameters = Readonly<Record<string, Parameter | undefined>>;

/** A statement, by a call that sends it. */
interface Statement {
  /** A value for each parameter, no two the same: where they turn up tells which is which. */
  readonly sample: Readonly<Record<string, string>>;
  /** The call that has these parameters; its operation checks them. */
  readonly callOf: (parameters: Parameters, maxBatchSize: number) => Call<unknown>;
}

const id = "00000000-0000-7000-8000-000000000000";
const stream = { streamName: "category-id" };
const category = { category: "category" };
const message = { id, type: "type", data: '"data"', metadata: '{"key":"value"}' };
const expectedVersion = "7";
const page = { position: "5", batchSize: "6" };
const group = { member: "2", size: "3" };
const share = { correlation: "correlation", ...group };
const types = { types: '["type"]' };
const condition = "condition";
const time = "2000-01-01T00:00:00.000Z";

/** Every statement that an operation sends. The SQL is not here: the operation is asked for it. */
const STATEMENTS: readonly Statement[] = [
  { sample: { ...stream, ...message, expectedVersion }, callOf: writeOf },
  { sample: { ...stream, ...message, expectedVersion }, callOf: writeNewOf },
  { sample: { ...stream, ...message, seen: "seen" }, callOf: writeUnlessBusyOf },
  {
    sample: {
      columns: `{"streamName":["category-id"],"expectedVersion":["7"],` +
        `"id":["${id}"],"type":["type"],"data":[1],"metadata":[{}]}`,
    },
    callOf: writeStreamsOf,
  },
  {
    sample: {
      columns: `{"streamName":["category-id"],"expectedVersion":["7"],"mayBeKnown":[true],` +
        `"id":["${id}"],"type":["type"],"data":[1],"metadata":[{}]}`,
    },
    callOf: writeEachOf,
  },
  {
    sample: {
      columns: `{"streamName":["category-id"],"time":["${time}"],` +
        `"id":["${id}"],"type":["type"],"data":[1],"metadata":[{}]}`,
    },
    callOf: importOf,
  },
  {
    sample: {
      ...stream,
      columns: `{"id":["${id}"],"type":["type"],"data":[1],"metadata":[{}]}`,
      expectedVersion,
    },
    callOf: synchronizeOf,
  },
  { sample: { ...stream, ...page, condition }, callOf: readStreamOf("forward") },
  { sample: { ...stream, ...page, condition }, callOf: readStreamOf("backward") },
  { sample: { ...stream, ...page }, callOf: readStreamOf("backward") },
  { sample: { ...category, ...page, ...share, condition }, callOf: readCategoryOf("forward") },
  { sample: { ...category, ...page, ...share, condition }, callOf: readCategoryOf("backward") },
  { sample: { ...category, ...page, ...share }, callOf: readCategoryOf("backward") },
  { sample: page, callOf: readAllBackwardOf },
  {
    sample: { ...page, pattern: "%", from: "9", ...types, patterns: '["%"]' },
    callOf: readPageOf,
  },
  { sample: { ...page, pattern: "%" }, callOf: lookAtWritersOf },
  { sample: { ...category, ...page, ...share, ...types }, callOf: readCategoryPageOf },
  { sample: { name: "name", ...page, ...group, ...types }, callOf: readAggregateOf },
  { sample: { partition: "name-id", ...page }, callOf: readPartitionOf },
  { sample: { ...stream, time }, callOf: firstSinceOf },
  { sample: { ...category, time }, callOf: firstSinceOf },
  { sample: { time }, callOf: firstSinceOf },
  { sample: { ...category, time }, callOf: firstReferenceSinceOf },
  { sample: { streamNames: '["category-id"]' }, callOf: readLastMessagesOf },
  { sample: { ...stream, ...types }, callOf: readLastMessageOf },
  { sample: { ids: `["${id}"]` }, callOf: readMessagesOf },
  { sample: stream, callOf: streamVersionOf },
  { sample: category, callOf: streamNamesOf },
  { sample: category, callOf: entityIdsOf },
  { sample: {}, callOf: () => ({ asks: [ask("categories", {})], send: categories }) },
  {
    sample: {},
    callOf: () => ({ asks: [ask("messageStoreVersion", {})], send: messageStoreVersion }),
  },
];

/** What a request may run: a statement that an operation sends, and what that does. */
export interface Permissible {
  readonly asks: readonly GatewayCall[];
  readonly statement: SentStatement;
}

/** Makes a call of a statement's parameters. */
type Known = (parameters: readonly Parameter[], maxBatchSize: number) => Call<unknown>;

let known: ReadonlyMap<string, Known> | undefined;

/**
 * Finds the call that sends a statement with these parameters; undefined where no operation has it.
 *
 * The call's own statement is what runs. Where an argument is several parameters, or text inside of
 * one, that could differ from what was sent, and then nothing runs.
 */
export async function recognize(
  query: string,
  parameters: readonly Parameter[],
  maxBatchSize: number,
): Promise<Permissible | undefined> {
  known ??= new Map(await Promise.all(STATEMENTS.map(learn)));
  const call = known.get(query)?.(parameters, maxBatchSize);
  if (call === undefined) return undefined;
  const statement = await statementOf(call);
  const isSame = statement.text === query &&
    statement.parameters.length === parameters.length &&
    statement.parameters.every((parameter, at) => parameter === parameters[at]);
  if (!isSame) {
    throw new Refusal(
      422,
      `${CANNOT}: ${call.asks[0]?.operation} never sends it with these parameters`,
    );
  }
  return { asks: call.asks, statement };
}

async function learn({ sample, callOf }: Statement): Promise<[text: string, Known]> {
  const { text, parameters } = await statementOf(callOf(sample, 1));
  const places = Object.entries(sample).map(([name, value]) => {
    return [name, parameters.indexOf(value)] as const;
  });
  const call: Known = (parameters, maxBatchSize) =>
    callOf(Object.fromEntries(places.map(([name, at]) => [name, parameters[at]])), maxBatchSize);
  return [text, call];
}

function writeOf(parameters: Parameters): Call<number> {
  const { streamName, message, options } = writtenBy(parameters);
  return {
    asks: [ask("write", { streamName, messages: [message], ...options })],
    send: (sql) => write(sql, streamName, message, options),
  };
}

function writeNewOf(parameters: Parameters): Call<number> {
  const { streamName, message, options } = writtenBy(parameters);
  return {
    asks: [ask("write", { streamName, messages: [message], ...options })],
    send: async (sql) => {
      checkWritableStreamName(streamName);
      const expectedVersion = checkExpectedVersion(options);
      return await writeNew(sql, streamName, encode(message), expectedVersion);
    },
  };
}

/** A snapshot of an entity. */
function writeUnlessBusyOf({ seen, ...parameters }: Parameters): Call<unknown> {
  const { streamName, message } = writtenBy(parameters);
  return {
    asks: [ask("write", { streamName, messages: [message] })],
    send: async (sql) => {
      checkWritableStreamName(streamName);
      return await writeUnlessBusy(sql, streamName, encode(message), seen ?? null);
    },
  };
}

function writtenBy({ streamName, id, type, data, metadata, expectedVersion }: Parameters) {
  return {
    streamName: required(streamName),
    message: {
      id: required(id),
      type: required(type),
      data: jsonOf(data),
      metadata: jsonOf(metadata) as Metadata | null,
    },
    options: { expectedVersion: numberOf(expectedVersion) },
  };
}

function writeStreamsOf({ columns }: Parameters, maxBatchSize: number): Call<number[]> {
  const streams: (StreamInput & { readonly messages: Row["message"][] })[] = [];
  for (const { streamName, options, message } of rowsOf(columns, maxBatchSize)) {
    if (streams.at(-1)?.streamName !== streamName) {
      streams.push({ streamName: required(streamName), ...options, messages: [] });
    }
    if (message.type !== null) streams.at(-1)!.messages.push(message);
  }
  return {
    asks: streams.map((it) => ask(streams.length === 1 ? "writeBatch" : "writeStreams", it)),
    send: (sql) => writeStreams(sql, streams),
  };
}

/** Writes that share a statement: each is asked for as if it were alone. */
function writeEachOf({ columns }: Parameters, maxBatchSize: number): Call<unknown> {
  const writes = rowsOf(columns, maxBatchSize)
    .map((row) => ({ ...row, streamName: required(row.streamName) }));
  return {
    asks: writes.map(({ streamName, message, options }) =>
      ask("write", { streamName, messages: [message], ...options })
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
          ...encode(message),
        };
      });
      return await writeEach(sql, encoded);
    },
  };
}

/** What is imported of a stream is asked for at once. */
function importOf({ columns }: Parameters, maxBatchSize: number): Call<unknown> {
  const rows = rowsOf(columns, maxBatchSize)
    .map((row) => ({ ...row, streamName: required(row.streamName) }));
  const imported = new Map<string, Row["message"][]>();
  for (const { streamName, message } of rows) {
    const messages = imported.get(streamName);
    if (messages) messages.push(message);
    else imported.set(streamName, [message]);
  }
  return {
    asks: [...imported].map(([streamName, messages]) =>
      ask("importMessages", { streamName, messages })
    ),
    send: async (sql) => {
      checkNotEmpty(rows);
      const encoded = rows.map(({ streamName, message, time }) => {
        checkWritableStreamName(streamName);
        return {
          streamName,
          time: time ? new Date(time).toISOString() : null,
          ...encode(message),
        };
      });
      return await writeMissing(sql, encoded);
    },
  };
}

function checkNotEmpty(rows: readonly unknown[]): void {
  if (rows.length === 0) throw invalid("messages", rows, "not empty", RangeError);
}

function synchronizeOf(
  { streamName, columns, expectedVersion }: Parameters,
  maxBatchSize: number,
): Call<number> {
  const name = required(streamName);
  const messages = rowsOf(columns, maxBatchSize).map(({ message }) => message);
  const options = { expectedVersion: numberOf(expectedVersion) };
  return {
    asks: [ask("synchronize", { streamName: name, messages, ...options })],
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
  const lists = jsonOf(columns) as Record<string, unknown[] | undefined> | null;
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

function readStreamOf(direction: Direction): Statement["callOf"] {
  return (parameters) => {
    const streamName = required(parameters["streamName"]);
    const options = { ...pageOf(parameters), direction, condition: conditionOf(parameters) };
    return {
      asks: [ask("readStream", { streamName, ...options })],
      send: (sql) => readStream(sql, streamName, options),
    };
  };
}

function readCategoryOf(direction: Direction): Statement["callOf"] {
  return (parameters) => {
    const category = required(parameters["category"]);
    const options = {
      ...pageOf(parameters),
      direction,
      ...shareOf(parameters),
      condition: conditionOf(parameters),
    };
    return {
      asks: [ask("readCategory", { category, ...options })],
      send: (sql) => readCategory(sql, category, options),
    };
  };
}

function readAllBackwardOf(parameters: Parameters): Call<unknown> {
  const options = { ...pageOf(parameters), direction: "backward" } as const;
  return { asks: [ask("readAll", options)], send: (sql) => readAll(sql, options) };
}

/** A page of a forward read of all streams, or of those of a pattern, or of several. */
function readPageOf(parameters: Parameters): Call<unknown> {
  return settledCallOf(parameters, async (sql, wanted) => {
    const from = numberOf(parameters["from"]);
    checkInteger("from", from, 1);
    return await readPage(sql, wanted, from - 1);
  });
}

/** What such a read does where positions are missing. */
function lookAtWritersOf(parameters: Parameters): Call<unknown> {
  return settledCallOf(parameters, lookAtWriters);
}

function settledCallOf(
  { pattern = null, ...parameters }: Parameters,
  send: (sql: Sql, wanted: Wanted) => Promise<unknown>,
): Call<unknown> {
  const { position = 0, batchSize = 0 } = pageOf(parameters);
  const page = { position, batchSize };
  const { types } = typesOf(parameters);
  const patterns = textsOf(parameters["patterns"]);
  const matching = pattern === null ? patterns ?? [] : [pattern];
  return {
    asks: matching.length === 0
      ? [ask("readAll", { ...page, types })]
      : matching.map((pattern) => ask("readMatching", { pattern, ...page, types })),
    send: async (sql) => {
      checkPage(page);
      if (types !== undefined) checkTypes(types);
      for (const pattern of matching) checkPattern(pattern);
      return await send(sql, { pattern, ...page, filter: { types, patterns } });
    },
  };
}

/** A page of a subscription to a category. */
function readCategoryPageOf(parameters: Parameters): Call<unknown> {
  const category = required(parameters["category"]);
  const { position = 0, batchSize } = pageOf(parameters);
  const options = { batchSize, ...shareOf(parameters), ...typesOf(parameters) };
  return {
    asks: [ask("readCategory", { category, position, ...options })],
    send: async (sql) => {
      checkPage({ position });
      checkCategory("category", category);
      return await readerOf(sql, category, options).read(position);
    },
  };
}

function readAggregateOf(parameters: Parameters): Call<unknown> {
  const category = required(parameters["name"]);
  const { position = 0, batchSize } = pageOf(parameters);
  const { consumerGroup } = shareOf(parameters);
  const options = { batchSize, consumerGroup, ...typesOf(parameters) };
  return {
    asks: [ask("readAggregate", { category, position, ...options })],
    send: async (sql) => {
      checkPage({ position });
      return await readerOf(sql, { aggregate: category }, options).read(position);
    },
  };
}

function readPartitionOf(parameters: Parameters): Call<unknown> {
  const streamName = required(parameters["partition"]);
  const page = pageOf(parameters);
  const partition = idOf(streamName) ?? "";
  return {
    asks: [ask("readAggregate", { streamName, ...page })],
    send: (sql) => readAggregate(sql, categoryOf(streamName), { partition, ...page }),
  };
}

/** Where a subscription that starts at a time does. */
function firstSinceOf({ streamName = null, category = null, time }: Parameters): Call<unknown> {
  const first = { position: 0, batchSize: 1 };
  const place = { streamName, category };
  const asked = streamName !== null
    ? ask("readStream", { streamName, ...first })
    : category !== null
    ? ask("readCategory", { category, ...first })
    : ask("readAll", first);
  return {
    asks: [asked],
    send: async (sql) => {
      const startAt = new Date(required(time));
      checkStartAt(startAt);
      return await firstSince(sql, place, startAt);
    },
  };
}

/** As `firstSinceOf`, of an aggregate, by the times of its messages. */
function firstReferenceSinceOf({ category: name, time }: Parameters): Call<unknown> {
  const category = required(name);
  return {
    asks: [ask("readAggregate", { category, position: 0, batchSize: 1 })],
    send: async (sql) => {
      const startAt = new Date(required(time));
      checkAggregateName("category", category);
      checkStartAt(startAt);
      return await firstReferenceSince(sql, { category }, startAt);
    },
  };
}

/** The last messages of a consumer's position streams. */
function readLastMessagesOf(parameters: Parameters): Call<unknown> {
  const streamNames = textsOf(parameters["streamNames"]) ?? [];
  return {
    asks: streamNames.map((streamName) => ask("readLastMessage", { streamName })),
    send: async (sql) => {
      for (const streamName of streamNames) checkStreamName(streamName);
      return await readLastMessages(sql, streamNames);
    },
  };
}

function readLastMessageOf(parameters: Parameters): Call<unknown> {
  const streamName = required(parameters["streamName"]);
  const types = textsOf(parameters["types"]) ?? [];
  const isAny = types.length === 1 && types[0] === null;
  const asked = isAny ? {} : types.length === 1 ? { type: types[0] } : { types };
  return {
    asks: [ask("readLastMessage", { streamName, ...asked })],
    send: async (sql) => {
      checkStreamName(streamName);
      if (!isAny) checkTypes(types);
      return await readLastOfTypes(sql, streamName, isAny ? null : types);
    },
  };
}

function readMessagesOf(parameters: Parameters): Call<unknown> {
  const ids = jsonOf(parameters["ids"]) as string[];
  return { asks: [ask("readMessages", { ids })], send: (sql) => readMessages(sql, ids) };
}

function streamVersionOf(parameters: Parameters): Call<number> {
  const streamName = required(parameters["streamName"]);
  return {
    asks: [ask("streamVersion", { streamName })],
    send: (sql) => streamVersion(sql, streamName),
  };
}

function streamNamesOf(parameters: Parameters): Call<string[]> {
  const category = required(parameters["category"]);
  return { asks: [ask("streamNames", { category })], send: (sql) => streamNames(sql, category) };
}

function entityIdsOf(parameters: Parameters): Call<string[]> {
  const category = required(parameters["category"]);
  return { asks: [ask("entityIds", { category })], send: (sql) => entityIds(sql, category) };
}

function pageOf({ position, batchSize }: Parameters): Pick<GatewayCall, "position" | "batchSize"> {
  return { position: numberOf(position), batchSize: numberOf(batchSize) };
}

function shareOf(
  { correlation, member, size }: Parameters,
): Pick<GatewayCall, "correlation" | "consumerGroup"> {
  return {
    correlation: correlation ?? undefined,
    consumerGroup: size == null ? undefined : { member: Number(member), size: Number(size) },
  };
}

function typesOf({ types }: Parameters): Pick<GatewayCall, "types"> {
  return { types: textsOf(types) };
}

/** A list of texts that travels as JSON: what it holds is left to the operation to check. */
function textsOf(parameter: Parameter | undefined): string[] | undefined {
  const texts = jsonOf(parameter) ?? undefined;
  if (texts === undefined || Array.isArray(texts)) return texts;
  throw new Refusal(422, `${CANNOT}: a list is no array`);
}

function conditionOf({ condition }: Parameters): string | undefined {
  return condition ?? undefined;
}

function required(parameter: Parameter | undefined): string {
  if (typeof parameter === "string") return parameter;
  throw new Refusal(422, `${CANNOT}: a parameter is missing`);
}

function numberOf(parameter: Parameter | undefined): number | undefined {
  return parameter == null ? undefined : Number(parameter);
}

function jsonOf(parameter: Parameter | undefined): unknown {
  return parameter == null ? null : parseJson("a parameter", parameter);
}

const CANNOT = "Cannot run this statement";
