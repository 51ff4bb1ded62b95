/**
 * How does everybody see the balances?
 *
 * On page.html, which this serves, together with a gateway: the page asks that for the messages of all
 * accounts, and adds them up. Who has it open sees each transfer as it happens.
 *
 *     DATABASE_URL=postgres://… PORT=8000 npx tsx examples/bank/page.ts
 *
 * It writes nothing. To see the page change, run main.ts beside it.
 */
import { serve } from "@hono/node-server";
import { gateway } from "@messagedb/client/gateway";
import { readFile } from "node:fs/promises";
import process from "node:process";
import postgres from "postgres";

const url = process.env["DATABASE_URL"] ?? "postgres://message_store@localhost/message_store";
const sql = postgres(url, { fetch_types: false });

const stopping = new AbortController();
const handle = gateway(sql, {
  basePath: "/events",
  signal: stopping.signal,
  // Everybody may read the accounts, and nobody may write. A real bank asks who you are.
  authorize: (_, { operation, category }) => operation === "readCategory" && category === "account",
});

const page = await readFile(new URL("page.html", import.meta.url), "utf8");
const headers = { "content-type": "text/html; charset=utf-8" };

const server = serve({
  port: Number(process.env["PORT"] ?? 8000),
  fetch: (request) => {
    const { pathname } = new URL(request.url);
    return pathname === "/" ? new Response(page, { headers }) : handle(request);
  },
}, ({ port }) => {
  console.log(`Listening on http://localhost:${port}`);
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    // The pages that are open come again, to the next server.
    stopping.abort();
    server.close(() => void sql.end());
  });
}
