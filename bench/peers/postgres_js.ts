import type { MessageInput } from "@messagedb/client";
import { randomUUID } from "node:crypto";
import postgres from "postgres";
import { type Client, type Connect, countPages, evolve, type Group, init } from "../_job.ts";
import { parse, type Row } from "./_row.ts";

/** Message DB's functions, called by postgres.js. */
export const connect: Connect = (url, connections): Client => {
  const sql = postgres(url, {
    max: connections,
    onnotice: () => {},
    connection: { search_path: "message_store, public" },
  });
  const write = (
    on: postgres.ISql,
    streamName: string,
    { type, data, metadata }: MessageInput,
  ) =>
    on`select write_message(
      ${randomUUID()}, ${streamName}, ${type},
      ${sql.json(data as postgres.JSONValue)}, ${sql.json(metadata as postgres.JSONValue)}
    )`;
  const readStream = async (streamName: string, batchSize: number) =>
    (await sql<Row[]>`select * from get_stream_messages(${streamName}, 0, ${batchSize})`)
      .map(parse);
  return {
    write: (streamName, message) => write(sql, streamName, message),
    writeBatch: (streamName, messages) =>
      sql.begin((on) => messages.map((message) => write(on, streamName, message))),
    readStream: async (streamName, batchSize) => (await readStream(streamName, batchSize)).length,
    fetch: async (category, id) =>
      (await readStream(`${category}-${id}`, 1000)).reduce(evolve, init()).count,
    readCategory: (category, batchSize, group?: Group) =>
      countPages(batchSize, async (position) => {
        const rows = group
          ? await sql<Row[]>`select * from get_category_messages(
              ${category}, ${position}, ${batchSize}, null, ${group.member}, ${group.size})`
          : await sql<Row[]>`select * from get_category_messages(
              ${category}, ${position}, ${batchSize})`;
        return rows.map(parse);
      }),
    close: () => sql.end(),
  };
};
