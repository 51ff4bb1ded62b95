/** Consumes with handlers that keep the event loop busy longer than the lease lasts. */
import process from "node:process";
import postgres from "postgres";
import { consume, type Message } from "../../mod.ts";

const { url, category, transactional } = JSON.parse(process.argv[2]!);
const sql = postgres(url, { max: 3, onnotice: () => {} });
const ending = new AbortController();
process.once("SIGTERM", () => ending.abort());

await consume(sql, {
  category,
  consumerId: "it",
  pollInterval: 50,
  leaseDuration: 300,
  transactional,
  commitInterval: transactional ? 0 : undefined,
  handle: async ({ data }: Message, context: { sql: postgres.Sql }) => {
    console.log(data);
    if (transactional) {
      await context.sql`insert into blocked values (${category}, ${data as number})`;
    }
    const end = performance.now() + 500;
    while (performance.now() < end);
  },
} as never, { signal: ending.signal });
await sql.end();
