/**
 * Serves the studio of the bank's store, until it is killed:
 *
 *     npx tsx test/studio/_serve_bank.ts [port] [messages]
 */
import process from "node:process";
import { createAdaptorServer } from "@hono/node-server";
import postgres from "postgres";
import { startEmbedded } from "../../src/database/embedded.ts";
import { studio } from "../../src/studio/studio.ts";
import { bankAccount, bankBalances, fillHistory, fillToday, runBank } from "./_story.ts";

const [port = "4000", messages = "40000"] = process.argv.slice(2);
const server = await startEmbedded();
const sql = postgres(server.url, { onnotice: () => {} });
const stopping = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => stopping.abort());
}

await fillHistory(sql, Number(messages));
await fillToday(sql);
const running = runBank(sql, stopping.signal);
const handle = studio(sql, {
  authorize: () => true,
  readOnly: false,
  entities: [bankAccount],
  consumers: [bankBalances],
  signal: stopping.signal,
});
const http = createAdaptorServer({ fetch: handle });
http.listen(Number(port), "127.0.0.1", () => console.log(`http://127.0.0.1:${port}/`));
await running;
http.close();
await sql.end();
await server.stop();
