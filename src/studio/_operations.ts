import type { ConsumerIdentity } from "../consume/consumer.ts";
import { askStores } from "../handle/_store_for.ts";
import { VERSION } from "../http/gateway/_version.ts";
import {
  checkCategory,
  checkId,
  checkInteger,
  checkMembers,
  checkOneOf,
  checkStreamName,
  type Members,
} from "../names/_check.ts";
import { consumers } from "../operate/consumers.ts";
import { diagnose } from "../operate/diagnose.ts";
import { messageTypes } from "../operate/message_types.ts";
import { parked } from "../operate/parked.ts";
import { planRewind } from "../operate/plan_rewind.ts";
import { storeStatus } from "../operate/store_status.ts";
import { streams } from "../operate/streams.ts";
import { trace, type TraceStart } from "../operate/trace.ts";
import type { OperationName, StudioApi } from "./_api.ts";
import { type CallPlace, placeOfConsumer, startIn, timeIn } from "./_arguments.ts";
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

const OPERATIONS: { readonly [Name in OperationName]?: OperationOf<Name> } = {
  open: {
    writes: false,
    members: {},
    place: () => ({}),
    run: ({ readOnly, entities, consumers, schema, partitions }) =>
      Promise.resolve({
        version: VERSION,
        readOnly,
        entities: [...entities.keys()],
        consumers: consumers.map(namesOf),
        schema,
        partitions,
      }),
  },
  storeStatus: {
    writes: false,
    members: {},
    place: () => ({}),
    run: ({ sql, share, partitions }) =>
      share({
        key: "storeStatus",
        goodFor: 5000,
        statements: partitions,
        ask: async () => ({ stores: await askStores(sql, storeStatus), at: new Date() }),
      }),
  },
  consumers: {
    writes: false,
    members: {},
    place: () => ({}),
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
    place: () => ({}),
    run: ({ sql, share, partitions }) =>
      share({
        key: "diagnose",
        goodFor: 30_000,
        statements: partitions,
        ask: async () => (await askStores(sql, diagnose)).flat(),
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
      await streams(sql, category, {
        sort,
        limit,
        after: after && {
          ...after,
          firstAt: timeIn("after.firstAt", after.firstAt),
          lastAt: timeIn("after.lastAt", after.lastAt),
        },
      } as object),
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
        ask: () => messageTypes(sql, { category }),
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
  parked: {
    writes: false,
    members: { consumer: true, position: true, batchSize: true },
    place: ({ consumer, position = 0, batchSize = 100 }) => {
      checkInteger("position", position, 0);
      checkInteger("batchSize", batchSize, 1, 1000);
      return placeOfConsumer(consumer);
    },
    run: async ({ sql }, { consumer, position, batchSize = 100 }) =>
      await parked(sql, consumer as ConsumerIdentity, { position, batchSize }),
  },
  planRewind: {
    writes: false,
    members: { consumer: true, position: true },
    place: ({ consumer, position }) => {
      startIn("position", position);
      return placeOfConsumer(consumer);
    },
    run: async ({ sql }, { consumer, position }) =>
      await planRewind(sql, consumer as ConsumerIdentity, startIn("position", position)),
  },
};

/** The operation of a name; undefined if there is none. */
export function operationOf(name: string): AnyOperation | undefined {
  if (!Object.hasOwn(OPERATIONS, name)) return undefined;
  const { writes, members, place, run } = OPERATIONS[name as OperationName] as OperationOf<
    OperationName
  >;
  return {
    writes,
    place: (given) => {
      checkMembers("the arguments", given as never, members as never);
      return place(given as never);
    },
    run: (studio, given, signal) => run(studio, given as never, signal),
  };
}
