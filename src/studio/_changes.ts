import type { Consumer, ConsumerIdentity } from "../consume/consumer.ts";
import { replayParked } from "../consume/replay_parked.ts";
import { Refusal } from "../http/gateway/_problem.ts";
import { invalid } from "../lib/invalid.ts";
import { stringify } from "../messages/_json.ts";
import {
  checkId,
  checkInteger,
  checkName,
  checkWritableStreamName,
  type Members,
} from "../names/_check.ts";
import { OWN } from "../names/_own_streams.ts";
import { discardParked } from "../operate/discard_parked.ts";
import { park } from "../operate/park.ts";
import { rewind } from "../operate/rewind.ts";
import { skip } from "../operate/skip.ts";
import type { MessageInput } from "../types.ts";
import { NO_STREAM, write } from "../write/write.ts";
import type { ChangeName, PassArguments } from "./_api.ts";
import {
  type CallPlace,
  checkIds,
  checkTexts,
  placeOfConsumer,
  placeOfStream,
  startIn,
} from "./_arguments.ts";
import type { Operations } from "./_operation.ts";
import { parkedStoreIn } from "./_parked_store.ts";
import { storeIn, type Studio } from "./_studio.ts";

const PASS_MEMBERS: Members<PassArguments> = {
  consumer: true,
  partition: true,
  id: true,
  reason: true,
  types: true,
};

/** What changes the store. */
export const CHANGES: Operations<ChangeName> = {
  replayParked: {
    writes: true,
    members: { consumer: true, partition: true, ids: true, types: true, limit: true },
    place: ({ ids, types, limit = 1000, ...given }) => {
      checkIds(ids);
      checkTexts("types", types, 100);
      checkInteger("limit", limit, 1, 1000);
      return { ...placeOfConsumer(given), ids };
    },
    run: async (studio, { consumer, partition, ids, types, limit = 1000 }, signal) =>
      await replayParked(storeIn(studio, partition), knownConsumer(studio, consumer), {
        ids,
        types,
        limit,
        signal,
      }),
  },
  discardParked: {
    writes: true,
    members: { consumer: true, partition: true, ids: true, reason: true },
    place: ({ ids, reason, ...given }) => {
      // Only messages that are named are discarded: to leave the ids out is a mistake, and does not mean all.
      if (ids === undefined) throw invalid("ids", ids, "an array of UUIDs");
      checkIds(ids);
      checkName("reason", reason);
      return { ...placeOfConsumer(given), ids };
    },
    run: async (studio, { ids, reason, ...place }) => {
      const store = await parkedStoreIn(studio, place);
      return { discarded: await discardParked(store, place.consumer, ids, { reason }) };
    },
  },
  rewind: {
    writes: true,
    members: { consumer: true, partition: true, position: true },
    place: ({ position, ...given }) => {
      startIn("position", position);
      return placeOfConsumer(given);
    },
    run: async (studio, { consumer, partition, position }) => ({
      position: await rewind(
        storeIn(studio, partition),
        consumer,
        startIn("position", position),
      ),
    }),
  },
  skip: {
    writes: true,
    members: PASS_MEMBERS,
    place: placeOfPass,
    run: async (studio, { id, reason, types, ...place }) => {
      await skip(await parkedStoreIn(studio, place), place.consumer, id, { reason, types });
      return {};
    },
  },
  park: {
    writes: true,
    members: PASS_MEMBERS,
    place: placeOfPass,
    run: async (studio, { id, reason, types, ...place }) => {
      await park(await parkedStoreIn(studio, place), place.consumer, id, { reason, types });
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
    place: ({ streamName, type, data, metadata, id, expectedVersion = NO_STREAM }) => {
      checkWritableStreamName(streamName);
      checkIsOfApplication(streamName);
      checkName("type", type);
      if (id !== undefined) checkId(id);
      if (metadata != null && (typeof metadata !== "object" || Array.isArray(metadata))) {
        throw invalid("metadata", metadata, "an object or null");
      }
      stringify("data", data ?? null);
      stringify("metadata", metadata ?? null);
      checkInteger("expectedVersion", expectedVersion, NO_STREAM);
      return { ...placeOfStream(streamName), type };
    },
    run: async ({ sql }, { streamName, expectedVersion, ...message }) => ({
      position: await write(sql, streamName, message as MessageInput, { expectedVersion }),
    }),
  },
};

function placeOfPass({ id, reason, types, ...given }: PassArguments): CallPlace {
  checkId(id);
  checkName("reason", reason);
  checkTexts("types", types, 100);
  return { ...placeOfConsumer(given), ids: [id] };
}

/** A position that is written by hand would be a rewind, which is asked for by its own name. */
function checkIsOfApplication(streamName: string): void {
  if (!OWN.some(({ streams }) => streams.test(streamName))) return;
  const needed =
    "a stream of an application: what this package writes for itself is changed by operations of their own";
  throw invalid("streamName", streamName, needed);
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
