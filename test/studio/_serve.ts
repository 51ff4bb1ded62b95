/**
 * Serves the studio of a small store where something of everything is, until it is killed:
 *
 *     npx tsx test/studio/_serve.ts [port]
 */
import { createAdaptorServer } from "@hono/node-server";
import process from "node:process";
import postgres from "postgres";
import { startEmbedded } from "../../src/database/embedded.ts";
import { studio } from "../../src/studio/studio.ts";
import { balances, fillStore, letters, runConsumers, theAccount } from "./_store.ts";

const port = Number(process.argv[2] ?? 4000);
const server = await startEmbedded();
const sql = postgres(server.url, { onnotice: () => {} });
const stopping = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => stopping.abort());
}

await fillStore(sql);
const running = runConsumers(sql, stopping.signal);
const handle = studio(sql, {
  authorize: () => true,
  readOnly: false,
  entities: [theAccount],
  consumers: [letters, balances],
  signal: stopping.signal,
});
const http = createAdaptorServer({ fetch: handle });
http.listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}/`, server.url));
await running;
http.close();
await sql.end();
await server.stop();
