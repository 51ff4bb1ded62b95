import { storeFor } from "../handle/_store_for.ts";
import { invalid } from "../lib/invalid.ts";
import { abortable } from "../lib/wait.ts";
import { checkAggregateName, checkPartition } from "../names/_aggregate_name.ts";
import {
  checkCategory,
  checkConsumerGroup,
  checkId,
  checkInteger,
  checkName,
  checkOneOf,
  checkStreamName,
} from "../names/_check.ts";
import { isCategory } from "../names/stream_name.ts";
import { checkAfter } from "../operate/_check_after.ts";
import { findMessages } from "../operate/find_messages.ts";
import { inspectMessage } from "../operate/inspect_message.ts";
import { nextMessage } from "../operate/next_message.ts";
import { parked } from "../operate/parked.ts";
import { planRewind } from "../operate/plan_rewind.ts";
import { readTexts } from "../operate/_read_texts.ts";
import { streams, type StreamsOptions } from "../operate/streams.ts";
import { trace, type TraceStart } from "../operate/trace.ts";
import { readAggregate, type ReadAggregateOptions } from "../read/read_aggregate.ts";
import type { ConsumerGroup, Sql } from "../types.ts";
import { checkTexts, placeOfConsumer, placeOfStream, startIn, timeIn } from "./_arguments.ts";
import { listed } from "./_kind.ts";
import type { AnswerOf, Operations, Unwired } from "./_operation.ts";
import { parkedStoreIn } from "./_parked_store.ts";
import { readStates } from "./_states.ts";
import { storeIn } from "./_studio.ts";

/**
 * What one page asks for, and no other shares. Each search has a bound, and begins no statement once nobody waits for
 * its answer.
 */
export const SEARCHES: Operations<
  | "streams"
  | "trace"
  | "findMessages"
  | "readMessage"
  | "states"
  | "parked"
  | "planRewind"
  | "nextMessage"
  | "readAggregate"
> = {
  streams: {
    writes: false,
    members: { category: true, sort: true, limit: true, after: true },
    place: ({ category, sort = "last", limit = 100, after }) => {
      checkCategory("category", category);
      checkInteger("limit", limit, 1, 1000);
      checkAfter(sort, after);
      return { category };
    },
    run: async ({ sql }, { category, sort, limit, after }) =>
      await streams(sql, category, { sort, limit, after } as StreamsOptions),
  },
  trace: {
    writes: false,
    members: { id: true, streamName: true, limit: true },
    place: ({ id, streamName, limit = 200 }) => {
      checkOneOf("the arguments", { id, streamName }, "id", "streamName");
      if (id !== undefined) checkId(id);
      if (streamName !== undefined) checkStreamName(streamName);
      checkInteger("limit", limit, 1, 1000);
      return id === undefined ? {} : { ids: [id] };
    },
    run: async ({ sql, stores, ask }, { id, streamName, limit = 200 }, signal, request) => {
      const find = async (store: Sql) =>
        await inspectMessage(store, id!, { textLength: 0 }) && store;
      const isPlaced = id === undefined || stores.length === 1;
      const store = isPlaced ? sql : await ask.first(find, request) ?? stores[0]!;
      return await trace(store, { id, streamName } as TraceStart, { limit, signal });
    },
  },
  findMessages: {
    writes: false,
    again: { statements: 1, isPutOff: true },
    members: {
      source: true,
      direction: true,
      startAt: true,
      limit: true,
      types: true,
      text: true,
      correlation: true,
      since: true,
      until: true,
      own: true,
    },
    place: ({ source, direction, limit = 100, startAt, since, until, own, ...filters }) => {
      const { types, text, correlation } = filters;
      checkName("source", source);
      if (direction !== undefined && direction !== "forward" && direction !== "backward") {
        throw invalid("direction", direction, '"forward" or "backward"');
      }
      checkInteger("limit", limit, 1, 500);
      checkTexts("types", types, 100);
      if (text !== undefined) checkName("text", text);
      if (correlation !== undefined) checkName("correlation", correlation);
      if (startAt !== undefined) startIn("startAt", startAt);
      timeIn("since", since);
      timeIn("until", until);
      if (own !== undefined && typeof own !== "boolean") throw invalid("own", own, "true or false");
      if (source === "$all") return {};
      return isCategory(source) ? { category: source } : placeOfStream(source);
    },
    run: async ({ sql, stores }, { source, startAt, since, until, own, ...options }, signal) => {
      const found = findMessages(sql, source, {
        ...options,
        startAt: startAt === undefined ? undefined : startIn("startAt", startAt),
        since: timeIn("since", since),
        until: timeIn("until", until),
        ownMessages: own,
        scanLimit: 20_000,
      });
      const { messages, next, scanned } = await abortable(found, signal);
      const partition = stores.indexOf(storeFor(sql, source));
      return { messages: messages.map(listed), next, scanned, partition };
    },
  },
  readMessage: {
    writes: false,
    members: { id: true },
    place: ({ id }) => {
      checkId(id);
      return { ids: [id] };
    },
    run: async ({ ask }, { id }, _, request) => {
      const look = (store: Sql) => inspectMessage(store, id, { textLength: 1_000_000 });
      const message = await ask.first(look, request);
      return message && listed(message);
    },
  },
  states: {
    writes: false,
    members: { streamName: true, position: true },
    place: ({ streamName, position = 0 }) => {
      checkStreamName(streamName);
      checkInteger("position", position, 0);
      return placeOfStream(streamName);
    },
    run: (studio, { streamName, position }, signal) =>
      readStates(studio, streamName, position, signal),
  },
  parked: {
    writes: false,
    again: { statements: 2, isPutOff: true },
    members: { consumer: true, partition: true, position: true, batchSize: true },
    place: ({ position = 0, batchSize = 100, ...given }) => {
      checkInteger("position", position, 0);
      checkInteger("batchSize", batchSize, 1, 1000);
      return placeOfConsumer(given);
    },
    run: async (studio, { position, batchSize = 100, ...place }) =>
      await parked(await parkedStoreIn(studio, place), place.consumer, { position, batchSize }),
  },
  planRewind: {
    writes: false,
    again: { statements: 5, isPutOff: true },
    members: { consumer: true, partition: true, position: true },
    place: ({ position, ...given }) => {
      startIn("position", position);
      return placeOfConsumer(given);
    },
    run: async (studio, { consumer, partition, position }) => {
      // A consumer of "$all" reads everything: to count its messages takes longer.
      const scanLimit = consumer.category === "$all" ? 20_000 : 50_000;
      const start = startIn("position", position);
      return await planRewind(storeIn(studio, partition), consumer, start, { scanLimit });
    },
  },
  nextMessage: {
    writes: false,
    again: { statements: 5, isPutOff: true },
    members: { consumer: true, partition: true },
    place: (given) => {
      const place = placeOfConsumer(given);
      if (place.consumerGroup) checkConsumerGroup(place.consumerGroup as ConsumerGroup);
      return place;
    },
    run: async (studio, { consumer, partition }, signal) => {
      // Both looks go where the consumer reads: another partition may have a message of the same id.
      const name = consumer.category ?? consumer.aggregate!;
      const store = storeFor(storeIn(studio, partition), name);
      const next = await nextMessage(store, consumer, { scanLimit: 200_000, signal });
      const message = next && await inspectMessage(store, next.id, { textLength: 2000 });
      return message && listed(message);
    },
  },
  readAggregate: {
    writes: false,
    // The page sends it right after `findMessages`, which has waited for its turn.
    again: { statements: 2, isPutOff: false },
    members: { name: true, partition: true, position: true, batchSize: true },
    place: ({ name, partition, position = 0, batchSize = 100 }) => {
      checkAggregateName("name", name);
      if (partition !== undefined) checkPartition(partition);
      checkInteger("position", position, 0);
      checkInteger("batchSize", batchSize, 1, 500);
      return { aggregate: name };
    },
    run: ({ sql }, { name, partition, position, batchSize = 100 }) =>
      readReferred(sql, name, { partition, position, batchSize }),
  },
};

/** The messages that an aggregate refers to, with their data as text: so no number in them is rounded. */
async function readReferred(
  sql: Sql,
  name: string,
  options: ReadAggregateOptions,
): Promise<Unwired<AnswerOf<"readAggregate">>> {
  const messages = await readAggregate(sql, name, options);
  const texts = await readTexts(storeFor(sql, name), messages.map(({ id }) => id), 2000);
  const byId = new Map(texts.map((it) => [it.id, it]));
  return messages.flatMap(({ id, reference }) => {
    const found = byId.get(id);
    return found ? [{ ...listed(found), reference }] : [];
  });
}
