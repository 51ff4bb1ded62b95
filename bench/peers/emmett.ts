import { dumbo } from "@event-driven-io/dumbo";
import type { Event } from "@event-driven-io/emmett";
import { getPostgreSQLEventStore, readMessagesBatch } from "@event-driven-io/emmett-postgresql";
import type { MessageInput } from "@messagedb/client";
import pg from "pg";
import { type Account, type Client, type Connect, evolve, init } from "../_job.ts";

/** Emmett's event store, with tables of its own. It has no categories. */
export const connect: Connect = (url, connections): Client => {
  const pool = new pg.Pool({ connectionString: url, max: connections });
  const store = getPostgreSQLEventStore(url, { connectionOptions: { pooled: true, pool } });
  // Its consumer reads by this function, and waits 50 ms after each batch.
  const { execute } = dumbo({ connectionString: url, pool });
  return {
    write: (streamName, message) => store.appendToStream(streamName, [eventOf(message)]),
    writeBatch: (streamName, messages) => store.appendToStream(streamName, messages.map(eventOf)),
    readStream: async (streamName, batchSize) =>
      (await store.readStream(streamName, { maxCount: BigInt(batchSize) })).events.length,
    fetch: async (category, id) => {
      const options = { evolve, initialState: init };
      const { state } = await store.aggregateStream<Account, Event>(`${category}-${id}`, options);
      return state.count;
    },
    readAll: async (position, batchSize, count) => {
      let read = 0;
      let from = BigInt(position);
      while (read < count) {
        const { messages, currentGlobalPosition } = await readMessagesBatch(execute, {
          from,
          batchSize: Math.min(batchSize, count - read),
        });
        if (messages.length === 0) break;
        read += messages.length;
        from = currentGlobalPosition + 1n;
      }
      return read;
    },
    close: () => pool.end(),
  };
};

function eventOf({ type, data, metadata }: MessageInput) {
  return {
    type,
    data: data as Record<string, unknown>,
    metadata: metadata as Record<string, unknown>,
  };
}
