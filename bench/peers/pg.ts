import type { MessageInput } from "@messagedb/client";
import { randomUUID } from "node:crypto";
import pg from "pg";
import { type Client, type Connect, countPages, evolve, type Group, init } from "../_job.ts";
import { parse, type Row } from "./_row.ts";

/** Message DB's functions, called by pg. */
export const connect: Connect = (url, connections): Client => {
  const pool = new pg.Pool({
    connectionString: url,
    max: connections,
    options: "-c search_path=message_store,public",
  });
  const write = (
    on: pg.Pool | pg.PoolClient,
    streamName: string,
    { type, data, metadata }: MessageInput,
  ) =>
    on.query(
      "select write_message($1, $2, $3, $4, $5)",
      [randomUUID(), streamName, type, data, metadata],
    );
  const readStream = async (streamName: string, batchSize: number) => {
    const { rows } = await pool.query<Row>(
      "select * from get_stream_messages($1, 0, $2)",
      [streamName, batchSize],
    );
    return rows.map(parse);
  };
  return {
    write: (streamName, message) => write(pool, streamName, message),
    writeBatch: async (streamName, messages) => {
      const client = await pool.connect();
      try {
        await client.query("begin");
        for (const message of messages) await write(client, streamName, message);
        await client.query("commit");
      } finally {
        client.release();
      }
    },
    readStream: async (streamName, batchSize) => (await readStream(streamName, batchSize)).length,
    fetch: async (category, id) =>
      (await readStream(`${category}-${id}`, 1000)).reduce(evolve, init()).count,
    readCategory: (category, batchSize, group?: Group) =>
      countPages(batchSize, async (position) => {
        const { rows } = group
          ? await pool.query<Row>(
            "select * from get_category_messages($1, $2, $3, null, $4, $5)",
            [category, position, batchSize, group.member, group.size],
          )
          : await pool.query<Row>(
            "select * from get_category_messages($1, $2, $3)",
            [category, position, batchSize],
          );
        return rows.map(parse);
      }),
    close: () => pool.end(),
  };
};
