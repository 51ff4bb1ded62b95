import type { Consumer, ConsumerIdentity } from "../consume/consumer.ts";
import { replayParked } from "../consume/replay_parked.ts";
import { askStores, storeFor } from "../handle/_store_for.ts";
import { Refusal } from "../http/gateway/_problem.ts";
import { VERSION } from "../http/gateway/_version.ts";
import { invalid } from "../lib/invalid.ts";
import { abortable } from "../lib/wait.ts";
import { checkAggregateName, checkPartition } from "../names/_aggregate_name.ts";
import {
  checkCategory,
  checkId,
  checkInteger,
  checkMembers,
  checkName,
  checkOneOf,
  checkStreamName,
  checkWritableStreamName,
  type Members,
} from "../names/_check.ts";
import { OWN } from "../names/_own_streams.ts";
import { isCategory } from "../names/stream_name.ts";
import { activity } from "../operate/activity.ts";
import { consumers } from "../operate/consumers.ts";
import { diagnose } from "../operate/diagnose.ts";
import { discardParked } from "../operate/discard_parked.ts";
import { findMessages } from "../operate/find_messages.ts";
import type { FoundMessage } from "../operate/found_message.ts";
import { inspectMessage } from "../operate/inspect_message.ts";
import { messageTypes } from "../operate/message_types.ts";
import { nextMessage } from "../operate/next_message.ts";
import { park } from "../operate/park.ts";
import { parked } from "../operate/parked.ts";
import { planRewind } from "../operate/plan_rewind.ts";
import { rewind } from "../operate/rewind.ts";
import { skip } from "../operate/skip.ts";
import { storeStatus } from "../operate/store_status.ts";
import { readFacts } from "../operate/_read_facts.ts";
import { streams, type StreamsOptions } from "../operate/streams.ts";
import { trace, type TraceStart } from "../operate/trace.ts";
import { readAggregate, type ReadAggregateOptions } from "../read/read_aggregate.ts";
import type { MessageInput, Sql } from "../types.ts";
import { write } from "../write/write.ts";
import type { OperationName, PassArguments, StudioApi } from "./_api.ts";
import {
  type CallPlace,
  checkIds,
  checkTexts,
  placeOfConsumer,
  placeOfStream,
  startIn,
  timeIn,
} from "./_arguments.ts";
import { listed } from "./_kind.ts";
import { readStates } from "./_states.ts";
import { namesOf, type Studio } from "./_studio.ts";

type ArgumentsOf<Name extends OperationName> = StudioApi[Name]["arguments"];
type AnswerOf<Name extends OperationName> = StudioApi[Name]["answer"];

/** A Date, where the answer on the wire has text. */
type Unwired<T> = T extends string ? string | Date
  : T extends readonly (infer Item)[] ? readonly Unwired<Item>[]
  : T extends object ? { readonly [Key in keyof T]: Unwired<T[Key]> }
  : T;

/** What an operation is: how its arguments are checked, what `authorize` is told of it, and what it does. */
interface OperationOf<Name extends OperationName> {
  readonly writes: boolean;
  readonly members: Members<ArgumentsOf<Name>>;
  /** Checks the arguments, and says what they are about. */
  readonly place: (given: ArgumentsOf<Name>) => CallPlace;
  readonly run: (
    studio: Studio,
    given: ArgumentsOf<Name>,
    signal: AbortSignal,
  ) => Promise<Unwired<AnswerOf<Name>>>;
}

/** An operation, with arguments that fit it. */
export interface AnyOperation {
  readonly writes: boolean;
  place(given: object): CallPlace;
  run(studio: Studio, given: object, signal: AbortSignal): Promise<unknown>;
}

const PASS_MEMBERS: Members<PassArguments> = {
  consumer: true,
  id: true,
  reason: true,
  types: true,
};

/** Says of an operation that it is about the whole store. */
function nowhere(): CallPlace {
  return {};
}

function placeOfPass({ consumer, id, reason, types }: PassArguments): CallPlace {
  checkId(id);
  checkName("reason", reason);
  checkTexts("types", types, 100);
  return { ...placeOfConsumer(consumer), ids: [id] };
}

const OPERATIONS: { readonly [Name in OperationName]: OperationOf<Name> } = {
  open: {
    writes: false,
    members: {},
    place: nowhere,
    run: async ({ readOnly, entities, consumers, schema, partitions, ...studio }) => ({
      version: VERSION,
      readOnly,
      entities: [...entities.keys()],
      consumers: consumers.map(namesOf),
      schema,
      partitions,
      // What the studio is can be told without the store.
      databases: await readDatabases(studio, partitions).catch(() => []),
    }),
  },
  pulse: {
    writes: false,
    members: {},
    place: nowhere,
    run: async ({ sql, share, partitions }) => {
      const heads = await share({
        key: "pulse",
        goodFor: 1000 * partitions,
        statements: partitions,
        ask: () => askStores(sql, (store) => readLast(store)),
      });
      const time = heads.reduce((last, it) => Math.max(last, Number(it?.time ?? 0)), 0);
      return {
        lastGlobalPosition: heads.reduce((sum, it) => sum + (it?.globalPosition ?? 0), 0),
        time: time === 0 ? null : new Date(time),
        serverTime: new Date(),
      };
    },
  },
  activity: {
    writes: false,
    members: { since: true, until: true, buckets: true },
    place: ({ since, until, buckets = 60 }) => {
      if (timeIn("since", since) === undefined) throw invalid("since", since, "an ISO time");
      timeIn("until", until);
      checkInteger("buckets", buckets, 1, 120);
      return {};
    },
    run: ({ sql, share, partitions }, given) => {
      const { since, until, buckets } = wholeSpans(given);
      return share({
        key: `activity ${Number(since)} ${Number(until)} ${buckets}`,
        goodFor: 5000,
        statements: partitions,
        ask: async () => ({ buckets: await activity(sql, { since, until, buckets }) }),
      });
    },
  },
  storeStatus: {
    writes: false,
    members: {},
    place: nowhere,
    run: ({ sql, share, partitions }) =>
      share({
        key: "storeStatus",
        goodFor: 5000,
        statements: partitions,
        ask: async () => ({
          stores: await askStores(sql, (store) => storeStatus(store)),
          at: new Date(),
        }),
      }),
  },
  consumers: {
    writes: false,
    members: {},
    place: nowhere,
    run: ({ sql, share, partitions }) =>
      share({
        key: "consumers",
        goodFor: 5000,
        statements: partitions,
        ask: async () => ({ consumers: await consumers(sql), at: new Date() }),
      }),
  },
  diagnose: {
    writes: false,
    members: {},
    place: nowhere,
    run: ({ sql, share, partitions }) =>
      share({
        key: "diagnose",
        goodFor: 30_000,
        statements: partitions,
        ask: async () => {
          const found = await askStores(sql, (store) => diagnose(store));
          return found.flatMap((findings, number) =>
            findings.map((it) => ({ ...it, partition: partitions > 1 ? number : null }))
          );
        },
      }),
  },
  streams: {
    writes: false,
    members: { category: true, sort: true, limit: true, after: true },
    place: ({ category, limit = 100 }) => {
      checkCategory("category", category);
      checkInteger("limit", limit, 1, 1000);
      return { category };
    },
    run: async ({ sql }, { category, sort, limit, after }) =>
      await streams(sql, category, { sort, limit, after } as StreamsOptions),
  },
  messageTypes: {
    writes: false,
    members: { category: true },
    place: ({ category }) => {
      if (category !== undefined) checkCategory("category", category);
      return { category };
    },
    run: ({ sql, share }, { category }) =>
      share({
        key: `messageTypes ${category ?? ""}`,
        goodFor: 10_000,
        statements: 1,
        ask: () => messageTypes(sql, { category, scanLimit: 50_000 }),
      }),
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
    run: async ({ sql }, { id, streamName, limit = 200 }, signal) =>
      await trace(sql, { id, streamName } as TraceStart, { limit, signal }),
  },
  findMessages: {
    writes: false,
    members: {
      source: true,
      direction: true,
      startAt: true,
      limit: true,
      types: true,
      text: true,
      since: true,
      until: true,
      own: true,
    },
    place: ({ source, limit = 100, types, startAt, own }) => {
      checkName("source", source);
      checkInteger("limit", limit, 1, 500);
      checkTexts("types", types, 100);
      if (startAt !== undefined) startIn("startAt", startAt);
      if (own !== undefined && typeof own !== "boolean") throw invalid("own", own, "true or false");
      if (source === "$all") return {};
      return isCategory(source) ? { category: source } : placeOfStream(source);
    },
    run: async ({ sql }, { source, startAt, since, until, own, ...options }, signal) => {
      const found = findMessages(sql, source, {
        ...options,
        startAt: startAt === undefined ? undefined : startIn("startAt", startAt),
        since: timeIn("since", since),
        until: timeIn("until", until),
        ownMessages: own,
        // Types are looked at fast. Texts are not.
        scanLimit: options.text === undefined ? 50_000 : 20_000,
      });
      const { messages, next, scanned } = await abortable(found, signal);
      return { messages: messages.map(listed), next, scanned };
    },
  },
  readMessage: {
    writes: false,
    members: { id: true },
    place: ({ id }) => {
      checkId(id);
      return { ids: [id] };
    },
    run: async ({ sql }, { id }) => {
      const message = await inspectMessage(sql, id, { textLength: 1_000_000 });
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
    members: { consumer: true, position: true, batchSize: true },
    place: ({ consumer, position = 0, batchSize = 100 }) => {
      checkInteger("position", position, 0);
      checkInteger("batchSize", batchSize, 1, 1000);
      return placeOfConsumer(consumer);
    },
    run: async ({ sql }, { consumer, position, batchSize = 100 }) =>
      await parked(sql, consumer, { position, batchSize }),
  },
  planRewind: {
    writes: false,
    members: { consumer: true, position: true },
    place: ({ consumer, position }) => {
      startIn("position", position);
      return placeOfConsumer(consumer);
    },
    run: async ({ sql }, { consumer, position }) =>
      await planRewind(sql, consumer, startIn("position", position), { scanLimit: 20_000 }),
  },
  nextMessage: {
    writes: false,
    members: { consumer: true },
    place: ({ consumer }) => placeOfConsumer(consumer),
    run: async ({ sql }, { consumer }, signal) => {
      const next = await nextMessage(sql, consumer, { scanLimit: 200_000, signal });
      // The look at it goes where the consumer reads: another partition may have a message of the same id.
      const message = next && await inspectMessage(
        storeFor(sql, consumer.category ?? consumer.aggregate!),
        next.id,
        { textLength: 2000 },
      );
      return message && listed(message);
    },
  },
  readAggregate: {
    writes: false,
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
  replayParked: {
    writes: true,
    members: { consumer: true, ids: true, types: true, limit: true },
    place: ({ consumer, ids, types, limit = 1000 }) => {
      checkIds(ids);
      checkTexts("types", types, 100);
      checkInteger("limit", limit, 1, 1000);
      return { ...placeOfConsumer(consumer), ids };
    },
    run: async (studio, { consumer, ids, types, limit = 1000 }, signal) =>
      await replayParked(studio.sql, knownConsumer(studio, consumer), {
        ids,
        types,
        limit,
        signal,
      }),
  },
  discardParked: {
    writes: true,
    members: { consumer: true, ids: true, reason: true },
    place: ({ consumer, ids, reason }) => {
      // Discarded is what is named: to leave the names out is a mistake, and not a way to say "all".
      if (ids === undefined) throw invalid("ids", ids, "an array of UUIDs");
      checkIds(ids);
      checkName("reason", reason);
      return { ...placeOfConsumer(consumer), ids };
    },
    run: async ({ sql }, { consumer, ids, reason }) => ({
      discarded: await discardParked(sql, consumer, ids, { reason }),
    }),
  },
  rewind: {
    writes: true,
    members: { consumer: true, position: true },
    place: ({ consumer, position }) => {
      startIn("position", position);
      return placeOfConsumer(consumer);
    },
    run: async ({ sql }, { consumer, position }) => ({
      position: await rewind(sql, consumer, startIn("position", position)),
    }),
  },
  skip: {
    writes: true,
    members: PASS_MEMBERS,
    place: placeOfPass,
    run: async ({ sql }, { consumer, id, reason, types }) => {
      await skip(sql, consumer, id, { reason, types });
      return {};
    },
  },
  park: {
    writes: true,
    members: PASS_MEMBERS,
    place: placeOfPass,
    run: async ({ sql }, { consumer, id, reason, types }) => {
      await park(sql, consumer, id, { reason, types });
      return {};
    },
  },
  write: {
    writes: true,
    members: {
      streamName: true,
      type: true,
      data: true,
      metadata: true,
      id: true,
      expectedVersion: true,
    },
    place: ({ streamName, type, id, metadata }) => {
      checkWritableStreamName(streamName);
      checkIsOfApplication(streamName);
      checkName("type", type);
      if (id !== undefined) checkId(id);
      if (metadata != null && (typeof metadata !== "object" || Array.isArray(metadata))) {
        throw invalid("metadata", metadata, "an object or null");
      }
      return { ...placeOfStream(streamName), type };
    },
    run: async ({ sql }, { streamName, expectedVersion, ...message }) => ({
      position: await write(sql, streamName, message as MessageInput, { expectedVersion }),
    }),
  },
};

/** The operation of a name; undefined if there is none. */
export function studioOperation(name: string): AnyOperation | undefined {
  if (!Object.hasOwn(OPERATIONS, name)) return undefined;
  const { writes, members, place, run } = OPERATIONS[name as OperationName] as OperationOf<
    OperationName
  >;
  return {
    writes,
    place: (given) => {
      checkMembers("arguments", given as never, members as never);
      return place(given as never);
    },
    run: (studio, given, signal) => run(studio, given as never, signal),
  };
}

/** A position that is written by hand would be a rewind, which is asked for by its own name. */
function checkIsOfApplication(streamName: string): void {
  if (!OWN.some(({ streams }) => streams.test(streamName))) return;
  const needed =
    "a stream of an application: what this package writes for itself is changed by operations of their own";
  throw invalid("streamName", streamName, needed);
}

/** The names of the databases. They stay what they are. */
function readDatabases(
  { sql, share }: Pick<Studio, "sql" | "share">,
  statements: number,
): Promise<readonly string[]> {
  return share({
    key: "databases",
    goodFor: Infinity,
    statements,
    ask: () => askStores(sql, async (store) => (await readFacts(store)).database),
  });
}

/** The last message of a store, without its texts. */
async function readLast(store: Sql): Promise<FoundMessage | undefined> {
  const options = { direction: "backward", limit: 1, textLength: 0 } as const;
  return (await findMessages(store, "$all", options)).messages[0];
}

/**
 * The spans of time that are asked for, from the beginning of a span on. So pages that ask a moment later ask for the
 * same.
 */
function wholeSpans(
  { since, until, buckets = 60 }: ArgumentsOf<"activity">,
): { readonly since: Date; readonly until: Date; readonly buckets: number } {
  const [from, to] = [Date.parse(since), until === undefined ? Date.now() : Date.parse(until)];
  if (to <= from) throw invalid("until", until, "after since", RangeError);
  const width = Math.max(1, Math.ceil((to - from) / buckets / 1000)) * 1000;
  const first = Math.floor(from / width) * width;
  const count = Math.ceil((to - first) / width);
  return { since: new Date(first), until: new Date(first + count * width), buckets: count };
}

/** The messages that an aggregate refers to, with their data as text. */
async function readReferred(
  sql: Sql,
  name: string,
  options: ReadAggregateOptions,
): Promise<Unwired<AnswerOf<"readAggregate">>> {
  const messages = await readAggregate(sql, name, options);
  return messages.map(({ reference, data, metadata, ...message }) => {
    const texts = [data, metadata].map((it) => it === null ? null : JSON.stringify(it));
    const found = {
      ...message,
      time: isNaN(Number(message.time)) ? null : message.time,
      data: texts[0]?.slice(0, 2000) ?? null,
      metadata: texts[1]?.slice(0, 2000) ?? null,
      isCut: texts.some((it) => it !== null && it.length > 2000),
      size: texts.reduce((sum, it) => sum + new TextEncoder().encode(it ?? "").length, 0),
    };
    return { ...listed(found), reference };
  });
}

/** The consumer that the studio was given, with its handlers. */
function knownConsumer(
  { consumers }: Studio,
  { category, aggregate, consumerId }: ConsumerIdentity,
): Consumer {
  const known = consumers.find((it) =>
    it.category === category && it.aggregate === aggregate && it.consumerId === consumerId
  );
  if (known) return known;
  throw new Refusal(
    422,
    `Cannot replay what consumer "${consumerId}" has parked: the studio was not given its handlers, ` +
      "so call replayParked() where they are",
    { code: "NO_HANDLERS" },
  );
}
