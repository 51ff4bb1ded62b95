import {
  drain,
  entity,
  type EntityCache,
  type EntityDefinition,
  groupCommit,
  importMessages,
  iterateAll,
  iterateCategory,
  iterateStream,
  readAll,
  readCategory,
  readStream,
  type Sql,
  subscribe,
  write,
  writeBatch,
} from "@messagedb/client";
import postgres from "postgres";
import { type Account, type Client, type Connect, countPages, evolve, init } from "../_job.ts";

/** One call, one statement. */
export const plain: Connect = (url, connections): Client => {
  const sql = postgres(url, { max: connections, onnotice: () => {} });
  return {
    write: (streamName, message) => write(sql, streamName, message),
    writeBatch: (streamName, messages) => writeBatch(sql, streamName, messages),
    readStream: async (streamName, batchSize) =>
      (await readStream(sql, streamName, { batchSize })).length,
    readCategory: (category, batchSize, consumerGroup) =>
      countPages(
        batchSize,
        (position) => readCategory(sql, category, { position, batchSize, consumerGroup }),
      ),
    readAll: async (position, batchSize, count) => {
      let read = 0;
      while (read < count) {
        const page = await readAll(sql, { position, batchSize: Math.min(batchSize, count - read) });
        if (page.length === 0) break;
        read += page.length;
        position = page.at(-1)!.globalPosition + 1;
      }
      return read;
    },
    fetch: fetchFrom(sql, {}),
    close: () => sql.end(),
  };
};

const kept = new Map<string, object>();
const cache: EntityCache = { get: (name) => kept.get(name), set: (name, it) => kept.set(name, it) };

/** An entity that was fetched before: what is newer is read. */
export const cached: Connect = (url, connections): Client => {
  const sql = postgres(url, { max: connections, onnotice: () => {} });
  return { fetch: fetchFrom(sql, { cache }), close: () => sql.end() };
};

/** Concurrent writes share a statement, so few connections will do. */
export const grouped: Connect = (url, connections): Client => {
  const sql = postgres(url, { max: Math.min(connections, 4), onnotice: () => {} });
  return { write: groupCommit(sql), close: () => sql.end() };
};

/** As much as there is, a thousand messages a statement, with ids such as `writeBatch` makes. */
export const importing: Connect = (url, connections): Client => {
  const sql = postgres(url, { max: connections, onnotice: () => {} });
  return {
    writeBatch: (streamName, messages) =>
      importMessages(
        sql,
        messages.map((message) => ({ ...message, streamName, id: newId() })),
      ),
    close: () => sql.end(),
  };
};

/** A UUID of version 7: it begins with the time. */
function newId(): string {
  const time = Date.now().toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${crypto.randomUUID().slice(15)}`;
}

/** The next page is read while this one is used. */
export const iterating: Connect = (url, connections): Client => {
  const sql = postgres(url, { max: connections, onnotice: () => {} });
  return {
    readStream: (streamName, batchSize) => countOf(iterateStream(sql, streamName, { batchSize })),
    readCategory: (category, batchSize, consumerGroup) =>
      countOf(iterateCategory(sql, category, { batchSize, consumerGroup })),
    readAll: (position, batchSize, limit) =>
      countOf(iterateAll(sql, { position, batchSize, limit })),
    close: () => sql.end(),
  };
};

/** The loop takes all that is there, then leaves. */
export const subscribing: Connect = (url, connections): Client => {
  const sql = postgres(url, { max: connections, onnotice: () => {} });
  return {
    readCategory: (category, batchSize, consumerGroup) => {
      const ending = new AbortController();
      const { signal } = ending;
      const onCaughtUp = () => ending.abort();
      return countOf(
        subscribe(sql, category, { batchSize, consumerGroup, signal, onCaughtUp }),
      );
    },
    close: () => sql.end(),
  };
};

/** A new consumer each time, whose handler does nothing: it begins at the first message, and keeps its position. */
export const draining: Connect = (url, connections): Client => {
  const sql = postgres(url, { max: connections, onnotice: () => {} });
  return {
    readCategory: async (category, batchSize, consumerGroup) => {
      const consumerId = crypto.randomUUID();
      const consumer = { category, consumerId, batchSize, consumerGroup, handle: () => {} };
      return (await drain(sql, consumer)).handled;
    },
    close: () => sql.end(),
  };
};

const entities = new Map<string, ReturnType<typeof entity<Account>>>();

/** Fetches an entity of a category, by a definition that all calls share. */
function fetchFrom(
  sql: Sql,
  options: Pick<EntityDefinition<Account>, "cache">,
): NonNullable<Client["fetch"]> {
  return async (category, id) => {
    let its = entities.get(category);
    if (!its) entities.set(category, its = entity({ category, init, evolve, ...options }));
    return (await its.fetch(sql, id)).state.count;
  };
}

async function countOf(messages: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of messages) count++;
  return count;
}
