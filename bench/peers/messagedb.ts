import {
  groupCommit,
  importMessages,
  iterateAll,
  iterateCategory,
  iterateStream,
  readAll,
  readCategory,
  readStream,
  write,
  writeBatch,
} from "@messagedb/client";
import postgres from "postgres";
import { type Client, type Connect, countPages } from "../_job.ts";

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
    close: () => sql.end(),
  };
};

/** Concurrent writes share a statement, so few connections will do. */
export const grouped: Connect = (url, connections): Client => {
  const sql = postgres(url, { max: Math.min(connections, 4), onnotice: () => {} });
  return { write: groupCommit(sql), close: () => sql.end() };
};

/** As much as there is, a thousand messages a statement. */
export const importing: Connect = (url, connections): Client => {
  const sql = postgres(url, { max: connections, onnotice: () => {} });
  return {
    writeBatch: (streamName, messages) =>
      importMessages(
        sql,
        messages.map((message) => ({ ...message, streamName, id: crypto.randomUUID() })),
      ),
    close: () => sql.end(),
  };
};

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

async function countOf(messages: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of messages) count++;
  return count;
}
