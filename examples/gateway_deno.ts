/**
 * The gateway on Deno.
 *
 * Who has a token may read everything, and write to the categories that TOKENS names for it.
 *
 *     cd examples
 *     DATABASE_URL=postgres://… PORT=8000 TOKENS='{"a-token": ["order", "payment"]}' \
 *       deno run --allow-env --allow-net gateway_deno.ts
 */
import { gateway, type GatewayCall } from "@messagedb/client/gateway";
import process from "node:process";
import postgres from "postgres";

// Deno has this type; Node, which checks it in the repository, has not.
declare const Deno: {
  serve(
    options: { port: number; onListen(address: { readonly port: number }): void },
    handler: (request: Request) => Promise<Response>,
  ): { shutdown(): Promise<void> };
};

const url = process.env["DATABASE_URL"] ?? "postgres://message_store@localhost/message_store";
const sql = postgres(url, { fetch_types: false });

const tokens: Record<string, string[]> = JSON.parse(process.env["TOKENS"] ?? "{}");
const categoriesOf = new Map(Object.entries(tokens));

function authorize(request: Request, { operation, writes, category }: GatewayCall): boolean {
  const token = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
  const categories = categoriesOf.get(token);
  if (!categories) return false;
  if (!writes) return true;
  // An import chooses the time of its messages: nobody has that right here.
  return operation !== "importMessages" && category !== undefined && categories.includes(category);
}

const stopping = new AbortController();
const handle = gateway(sql, { authorize, signal: stopping.signal });

const server = Deno.serve({
  port: Number(process.env["PORT"] ?? 8000),
  onListen: ({ port }: { port: number }) => console.log(`Listening on http://localhost:${port}`),
}, handle);

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, async () => {
    // What is followed live ends, too: its clients come again, to another server.
    stopping.abort();
    await server.shutdown();
    await sql.end();
  });
}
