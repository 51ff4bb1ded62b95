import { readLastMessages } from "../../../consume/_read_last_messages.ts";
import { checkAggregateName } from "../../../names/_aggregate_name.ts";
import {
  checkCategory,
  checkInteger,
  checkPage,
  checkPattern,
  checkStreamName,
} from "../../../names/_check.ts";
import { category as categoryOf, id as idOf } from "../../../names/stream_name.ts";
import { checkStartAt, firstReferenceSince, firstSince } from "../../../read/_first_since.ts";
import { lookAtWriters } from "../../../read/_look_at_writers.ts";
import { readLastOfTypes } from "../../../read/_read_last_of_types.ts";
import { readScannedPage, type SettledQuery } from "../../../read/_read_settled_page.ts";
import { entityIds, streamNames } from "../../../read/names.ts";
import { readAggregate } from "../../../read/read_aggregate.ts";
import { readAll } from "../../../read/read_all.ts";
import { readCategory } from "../../../read/read_category.ts";
import { readMessages } from "../../../read/read_messages.ts";
import { readStream } from "../../../read/read_stream.ts";
import { streamVersion } from "../../../read/stream_version.ts";
import { checkTypes, readerOf } from "../../../subscribe/_reader.ts";
import type { Direction, Sql } from "../../../types.ts";
import { type Call, callTo } from "../_calls.ts";
import type { GatewayCall } from "../call.ts";
import {
  type CallOf,
  numberOf,
  type Parameters,
  parsedJson,
  required,
  textsOf,
} from "./_parameters.ts";

export function readStreamOf(direction: Direction): CallOf {
  return (parameters) => {
    const streamName = required(parameters["streamName"]);
    const options = {
      ...pageParametersOf(parameters),
      direction,
      condition: conditionOf(parameters),
    };
    return {
      questions: [callTo("readStream", { streamName, ...options })],
      send: (sql) => readStream(sql, streamName, options),
    };
  };
}

export function readCategoryOf(direction: Direction): CallOf {
  return (parameters) => {
    const category = required(parameters["category"]);
    const options = {
      ...pageParametersOf(parameters),
      direction,
      ...shareOf(parameters),
      condition: conditionOf(parameters),
    };
    return {
      questions: [callTo("readCategory", { category, ...options })],
      send: (sql) => readCategory(sql, category, options),
    };
  };
}

export function readAllBackwardOf(parameters: Parameters): Call<unknown> {
  const options = { ...pageParametersOf(parameters), direction: "backward" } as const;
  return { questions: [callTo("readAll", options)], send: (sql) => readAll(sql, options) };
}

/** A page of a forward read of all streams, or of those of a pattern, or of several. */
export function readScannedPageOf(parameters: Parameters): Call<unknown> {
  return settledCallOf(parameters, async (sql, wanted) => {
    const from = numberOf(parameters["from"]);
    checkInteger("from", from, 1);
    return await readScannedPage(sql, wanted, from - 1);
  });
}

/** What such a read does where positions are missing. */
export function lookAtWritersOf(parameters: Parameters): Call<unknown> {
  return settledCallOf(parameters, lookAtWriters);
}

function settledCallOf(
  { pattern = null, ...parameters }: Parameters,
  send: (sql: Sql, wanted: SettledQuery) => Promise<unknown>,
): Call<unknown> {
  const { position = 0, batchSize = 0 } = pageParametersOf(parameters);
  const page = { position, batchSize };
  const { types } = typesOf(parameters);
  const patterns = textsOf(parameters["patterns"]);
  const matching = pattern === null ? patterns ?? [] : [pattern];
  return {
    questions: matching.length === 0
      ? [callTo("readAll", { ...page, types })]
      : matching.map((pattern) => callTo("readMatching", { pattern, ...page, types })),
    send: async (sql) => {
      checkPage(page);
      if (types !== undefined) checkTypes(types);
      for (const pattern of matching) checkPattern(pattern);
      return await send(sql, { pattern, ...page, filter: { types, patterns } });
    },
  };
}

/** A page of a subscription to a category. */
export function readCategoryPageOf(parameters: Parameters): Call<unknown> {
  const category = required(parameters["category"]);
  const { position = 0, batchSize } = pageParametersOf(parameters);
  const options = { batchSize, ...shareOf(parameters), ...typesOf(parameters) };
  return {
    questions: [callTo("readCategory", { category, position, ...options })],
    send: async (sql) => {
      checkPage({ position });
      checkCategory("category", category);
      return await readerOf(sql, category, options).read(position);
    },
  };
}

export function readAggregateOf(parameters: Parameters): Call<unknown> {
  const category = required(parameters["name"]);
  const { position = 0, batchSize } = pageParametersOf(parameters);
  const { consumerGroup } = shareOf(parameters);
  const options = { batchSize, consumerGroup, ...typesOf(parameters) };
  return {
    questions: [callTo("readAggregate", { category, position, ...options })],
    send: async (sql) => {
      checkPage({ position });
      return await readerOf(sql, { aggregate: category }, options).read(position);
    },
  };
}

export function readPartitionOf(parameters: Parameters): Call<unknown> {
  const streamName = required(parameters["partition"]);
  const page = pageParametersOf(parameters);
  const partition = idOf(streamName) ?? "";
  return {
    questions: [callTo("readAggregate", { streamName, ...page })],
    send: (sql) => readAggregate(sql, categoryOf(streamName), { partition, ...page }),
  };
}

/** Where a subscription that starts at a time does. */
export function firstSinceOf(
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
    questions: [asked],
    send: async (sql) => {
      const startAt = new Date(required(time));
      checkStartAt(startAt);
      return await firstSince(sql, place, startAt);
    },
  };
}

/** As `firstSinceOf`, of an aggregate, by the times of its messages. */
export function firstReferenceSinceOf({ category: name, time }: Parameters): Call<unknown> {
  const category = required(name);
  return {
    questions: [callTo("readAggregate", { category, position: 0, batchSize: 1 })],
    send: async (sql) => {
      const startAt = new Date(required(time));
      checkAggregateName("category", category);
      checkStartAt(startAt);
      return await firstReferenceSince(sql, { category }, startAt);
    },
  };
}

/** The last messages of a consumer's position streams. */
export function readLastMessagesOf(parameters: Parameters): Call<unknown> {
  const streamNames = textsOf(parameters["streamNames"]) ?? [];
  return {
    questions: streamNames.map((streamName) => callTo("readLastMessage", { streamName })),
    send: async (sql) => {
      for (const streamName of streamNames) checkStreamName(streamName);
      return await readLastMessages(sql, streamNames);
    },
  };
}

export function readLastMessageOf(parameters: Parameters): Call<unknown> {
  const streamName = required(parameters["streamName"]);
  const types = textsOf(parameters["types"]) ?? [];
  const isAny = types.length === 1 && types[0] === null;
  const asked = isAny ? {} : types.length === 1 ? { type: types[0] } : { types };
  return {
    questions: [callTo("readLastMessage", { streamName, ...asked })],
    send: async (sql) => {
      checkStreamName(streamName);
      if (!isAny) checkTypes(types);
      return await readLastOfTypes(sql, streamName, isAny ? null : types);
    },
  };
}

export function readMessagesOf(parameters: Parameters): Call<unknown> {
  const ids = parsedJson(parameters["ids"]) as string[];
  return { questions: [callTo("readMessages", { ids })], send: (sql) => readMessages(sql, ids) };
}

export function streamVersionOf(parameters: Parameters): Call<number> {
  const streamName = required(parameters["streamName"]);
  return {
    questions: [callTo("streamVersion", { streamName })],
    send: (sql) => streamVersion(sql, streamName),
  };
}

export function streamNamesOf(parameters: Parameters): Call<string[]> {
  const category = required(parameters["category"]);
  return {
    questions: [callTo("streamNames", { category })],
    send: (sql) => streamNames(sql, category),
  };
}

export function entityIdsOf(parameters: Parameters): Call<string[]> {
  const category = required(parameters["category"]);
  return {
    questions: [callTo("entityIds", { category })],
    send: (sql) => entityIds(sql, category),
  };
}

function pageParametersOf(
  { position, batchSize }: Parameters,
): Pick<GatewayCall, "position" | "batchSize"> {
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

function conditionOf({ condition }: Parameters): string | undefined {
  return condition ?? undefined;
}
