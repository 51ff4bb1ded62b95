import { readLastMessages } from "../../../consume/_read_last_messages.ts";
import { queryOutcome } from "../../../decide/_query_outcome.ts";
import { invalid } from "../../../lib/invalid.ts";
import { checkAggregateName } from "../../../names/_aggregate_name.ts";
import {
  checkCategory,
  checkId,
  checkInteger,
  checkName,
  checkPage,
  checkPattern,
  checkStreamName,
} from "../../../names/_check.ts";
import { category as categoryOf, id as idOf } from "../../../names/stream_name.ts";
import { checkStartAt, firstReferenceSince, firstSince } from "../../../read/_first_since.ts";
import { lookAtWriters } from "../../../read/_look_at_writers.ts";
import { readLastOfTypes } from "../../../read/_read_last_of_types.ts";
import { readStreamPage } from "../../../read/_read_stream_page.ts";
import { readScannedPage, type SettledQuery } from "../../../read/_read_settled_page.ts";
import { entityIds, streamNames } from "../../../read/names.ts";
import { readAggregate } from "../../../read/read_aggregate.ts";
import { readAll } from "../../../read/read_all.ts";
import { readCategory } from "../../../read/read_category.ts";
import { readMessages } from "../../../read/read_messages.ts";
import { readStream } from "../../../read/read_stream.ts";
import { streamVersion } from "../../../read/stream_version.ts";
import { readHeads, type Watched } from "../../../subscribe/_heads.ts";
import { checkSource, checkTypes, readerOf } from "../../../subscribe/_reader.ts";
import type { Direction, Sql } from "../../../types.ts";
import { checkMessageCount } from "../_authorize.ts";
import { Refusal } from "../_problem.ts";
import { type Call, callTo } from "../_calls.ts";
import type { GatewayCall } from "../call.ts";
import {
  CANNOT_RUN,
  jsonOf,
  type MakeCall,
  markOf,
  numberOf,
  type Parameters,
  requiredText,
  textListOf,
} from "./_parameters.ts";

export function readStreamCall(direction: Direction): MakeCall {
  return (parameters) => {
    const streamName = requiredText(parameters["streamName"]);
    const options = {
      ...pageParametersOf(parameters),
      direction,
      condition: conditionOf(parameters),
    };
    return {
      toAuthorize: withCondition(callTo("readStream", { streamName, ...options })),
      send: (sql) => readStream(sql, streamName, options),
    };
  };
}

/** A page of a subscription to a stream. */
export function readStreamPageCall(parameters: Parameters): Call<unknown> {
  const streamName = requiredText(parameters["streamName"]);
  const { position = 0, batchSize } = pageParametersOf(parameters);
  return {
    toAuthorize: [callTo("readStream", { streamName, position, batchSize })],
    send: async (sql) => {
      checkPage({ position });
      checkName("streamName", streamName);
      checkSource(streamName, { batchSize });
      const mark = markOf(parameters["mark"]);
      return await readStreamPage(sql, { streamName, position, batchSize: batchSize ?? 0, mark });
    },
  };
}

export function readCategoryCall(direction: Direction): MakeCall {
  return (parameters) => {
    const category = requiredText(parameters["category"]);
    const options = {
      ...pageParametersOf(parameters),
      direction,
      ...shareParametersOf(parameters),
      condition: conditionOf(parameters),
    };
    return {
      toAuthorize: withCondition(callTo("readCategory", { category, ...options })),
      send: (sql) => readCategory(sql, category, options),
    };
  };
}

export function readAllBackwardCall(parameters: Parameters): Call<unknown> {
  const options = { ...pageParametersOf(parameters), direction: "backward" } as const;
  return { toAuthorize: [callTo("readAll", options)], send: (sql) => readAll(sql, options) };
}

/** A page of a forward read: of all streams, or of the streams that match one of the patterns. */
export function readScannedPageCall(parameters: Parameters): Call<unknown> {
  return settledReadCall(parameters, async (sql, query) => {
    const from = numberOf(parameters["from"]);
    checkInteger("from", from, 1);
    const known = { settled: from - 1, mark: markOf(parameters["known"]) };
    return await readScannedPage(sql, query, known);
  });
}

/** The look at the locks of writers, which a forward read takes when positions are missing. */
export function lookAtWritersCall(parameters: Parameters): Call<unknown> {
  return settledReadCall(parameters, lookAtWriters);
}

function settledReadCall(
  { pattern = null, ...parameters }: Parameters,
  send: (sql: Sql, query: SettledQuery) => Promise<unknown>,
): Call<unknown> {
  const { position = 0, batchSize = 0 } = pageParametersOf(parameters);
  const page = { position, batchSize };
  const mark = markOf(parameters["mark"]);
  const { types } = typesParameterOf(parameters);
  const patterns = textListOf(parameters["patterns"]);
  const matching = pattern === null ? patterns ?? [] : [pattern];
  return {
    toAuthorize: matching.length === 0
      ? [callTo("readAll", { ...page, types })]
      : matching.map((pattern) => callTo("readMatching", { pattern, ...page, types })),
    send: async (sql) => {
      checkPage(page);
      if (types !== undefined) checkTypes(types);
      for (const pattern of matching) checkPattern(pattern);
      return await send(sql, { pattern, ...page, filter: { types, patterns }, mark });
    },
  };
}

/** A page of a subscription to a category. */
export function readCategoryPageCall(parameters: Parameters): Call<unknown> {
  const category = requiredText(parameters["category"]);
  const { position = 0, batchSize } = pageParametersOf(parameters);
  const options = { batchSize, ...shareParametersOf(parameters), ...typesParameterOf(parameters) };
  return {
    toAuthorize: [callTo("readCategory", { category, position, ...options })],
    send: async (sql) => {
      checkPage({ position });
      checkCategory("category", category);
      checkSource(category, options);
      return await readerOf(sql, category, options).read(position, markOf(parameters["mark"]));
    },
  };
}

/** What those who follow or consume ask together: whether there is a newer last message, of each source. */
export function readHeadsCall(
  { sources: json, state = null }: Parameters,
  maxBatchSize: number,
): Call<unknown> {
  const sources = jsonOf(json) as unknown;
  if (!isSources(sources)) throw new Refusal(422, `${CANNOT_RUN}: it names no sources`);
  if (state !== null && !isState(state)) throw new Refusal(422, `${CANNOT_RUN}: it has no state`);
  checkMessageCount(sources.length, maxBatchSize);
  const last = { direction: "backward", batchSize: 1 } as const;
  return {
    toAuthorize: sources.map(([kind, name]) => {
      if (kind === "all") return callTo("readAll", last);
      if (kind === "category") return callTo("readCategory", { category: name, ...last });
      if (kind === "stream") return callTo("readLastMessage", { streamName: name });
      return callTo("readAggregate", { aggregate: name, position: 0, batchSize: 1 });
    }),
    send: async (sql) => {
      for (const [kind, name] of sources) if (kind !== "all") checkName("name", name);
      return await readHeads(sql, sources, state);
    },
    asksEach: true,
  };
}

/** Whether it is a state that an answer has told: a hash; over partitions, a list of hashes. */
function isState(value: string): boolean {
  return /^(?:[0-9a-f]+|\["[0-9a-f]+"(?:,"[0-9a-f]+")*])$/.test(value);
}

function isSources(value: unknown): value is Watched[] {
  return Array.isArray(value) && value.length > 0 &&
    value.every((it) =>
      Array.isArray(it) && it.length === 2 && typeof it[1] === "string" &&
      (it[0] === "all" ? it[1] === "" : ["category", "aggregate", "stream"].includes(it[0]))
    );
}

/** The name of an aggregate is no `category` of the call: its references may be to any message. */
export function readAggregateCall(parameters: Parameters): Call<unknown> {
  const aggregate = requiredText(parameters["name"]);
  const { position = 0, batchSize } = pageParametersOf(parameters);
  const { consumerGroup } = shareParametersOf(parameters);
  const options = { batchSize, consumerGroup, ...typesParameterOf(parameters) };
  return {
    toAuthorize: [callTo("readAggregate", { aggregate, position, ...options })],
    send: async (sql) => {
      checkPage({ position });
      const source = { aggregate };
      checkSource(source, options);
      return await readerOf(sql, source, options).read(position, markOf(parameters["mark"]));
    },
  };
}

export function readPartitionCall(parameters: Parameters): Call<unknown> {
  const streamName = requiredText(parameters["partition"]);
  const page = pageParametersOf(parameters);
  const aggregate = categoryOf(streamName);
  const partition = idOf(streamName) ?? "";
  return {
    toAuthorize: [callTo("readAggregate", { aggregate, partition, ...page })],
    send: (sql) => readAggregate(sql, aggregate, { partition, ...page }),
  };
}

/** The start position of a subscription that starts at a time. */
export function firstSinceCall(
  { streamName = null, category = null, time }: Parameters,
): Call<unknown> {
  const first = { position: 0, batchSize: 1 };
  const place = { streamName, category };
  const asked = streamName !== null
    ? callTo("readStream", { streamName, ...first })
    : category !== null
    ? callTo("readCategory", { category, ...first })
    : callTo("readAll", first);
  return {
    toAuthorize: [asked],
    send: async (sql) => {
      const startAt = new Date(requiredText(time));
      checkStartAt(startAt);
      return await firstSince(sql, place, startAt);
    },
  };
}

/** As `firstSinceCall`, for an aggregate: by the times of the messages that it refers to. */
export function firstReferenceSinceCall({ category: name, time }: Parameters): Call<unknown> {
  const category = requiredText(name);
  return {
    toAuthorize: [callTo("readAggregate", { aggregate: category, position: 0, batchSize: 1 })],
    send: async (sql) => {
      const startAt = new Date(requiredText(time));
      checkAggregateName("category", category);
      checkStartAt(startAt);
      return await firstReferenceSince(sql, { category }, startAt);
    },
  };
}

/** The last messages of the streams in which a consumer keeps its positions. */
export function readLastMessagesCall(parameters: Parameters, maxBatchSize: number): Call<unknown> {
  const streamNames = textListOf(parameters["streamNames"]) ?? [];
  checkMessageCount(streamNames.length, maxBatchSize);
  return {
    toAuthorize: streamNames.map((streamName) => callTo("readLastMessage", { streamName })),
    send: async (sql) => {
      for (const streamName of streamNames) checkName("streamName", streamName);
      return await readLastMessages(sql, streamNames);
    },
  };
}

export function readLastMessageCall(parameters: Parameters): Call<unknown> {
  const streamName = requiredText(parameters["streamName"]);
  const { types } = typesParameterOf(parameters);
  const asked = types?.length === 1 ? { type: types[0] } : { types };
  return {
    toAuthorize: [callTo("readLastMessage", { streamName, ...asked })],
    send: async (sql) => {
      checkName("streamName", streamName);
      if (types !== undefined) checkTypes(types);
      return await readLastOfTypes(sql, streamName, types ?? null);
    },
  };
}

export function readMessagesCall(parameters: Parameters): Call<unknown> {
  const ids = jsonOf(parameters["ids"]) as string[];
  return {
    toAuthorize: [callTo("readMessages", { ids })],
    send: (sql) => readMessages(sql, ids),
    asksEach: true,
  };
}

/** What `decide` has written for a command, and the versions of its streams after that. */
export function outcomeCall(parameters: Parameters): Call<unknown> {
  const idPrefix = requiredText(parameters["idPrefix"]);
  const streamNames = textListOf(parameters["streamNames"]) ?? [];
  return {
    toAuthorize: streamNames.map((streamName) => callTo("streamVersion", { streamName })),
    send: async (sql) => {
      if (streamNames.length === 0) throw invalid("streamNames", streamNames, "not empty");
      for (const streamName of streamNames) checkStreamName(streamName);
      checkId(`${idPrefix}0000`);
      return await queryOutcome(sql, idPrefix, streamNames);
    },
  };
}

export function streamVersionCall(parameters: Parameters): Call<number> {
  const streamName = requiredText(parameters["streamName"]);
  return {
    toAuthorize: [callTo("streamVersion", { streamName })],
    send: (sql) => streamVersion(sql, streamName),
  };
}

export function streamNamesCall(parameters: Parameters): Call<string[]> {
  const category = requiredText(parameters["category"]);
  return {
    toAuthorize: [callTo("streamNames", { category })],
    send: (sql) => streamNames(sql, category),
  };
}

export function entityIdsCall(parameters: Parameters): Call<string[]> {
  const category = requiredText(parameters["category"]);
  return {
    toAuthorize: [callTo("entityIds", { category })],
    send: (sql) => entityIds(sql, category),
  };
}

function pageParametersOf(
  { position, batchSize }: Parameters,
): Pick<GatewayCall, "position" | "batchSize"> {
  return { position: numberOf(position), batchSize: numberOf(batchSize) };
}

function shareParametersOf(
  { correlation, member, size }: Parameters,
): Pick<GatewayCall, "correlation" | "consumerGroup"> {
  return {
    correlation: correlation ?? undefined,
    consumerGroup: size == null ? undefined : { member: Number(member), size: Number(size) },
  };
}

function typesParameterOf({ types }: Parameters): Pick<GatewayCall, "types"> {
  return { types: textListOf(types) };
}

/**
 * What `authorize` is asked about a read. A condition can read messages of any stream: so a read with a condition is
 * asked about once more, without a stream or a category.
 */
function withCondition(call: GatewayCall): GatewayCall[] {
  const { operation, condition } = call;
  return condition === undefined ? [call] : [call, callTo(operation, { condition })];
}

function conditionOf({ condition }: Parameters): string | undefined {
  return condition ?? undefined;
}
