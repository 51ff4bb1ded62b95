/**
 * The gateway on Node, in a Hono app: beside it here is a page, a guest book that all who look at it
 * see grow.
 *
 * Everyone may read the guest book and sign it. Who has a token may read everything, and write to the
 * categories that TOKENS names for it.
 *
 *     npm pkg set type=module
 *     npm install @messagedb/client postgres hono @hono/node-server
 *     DATABASE_URL=postgres://… PORT=8000 TOKENS='{"a-token": ["order", "payment"]}' \
 *       npx tsx examples/gateway_node.ts
 */
import { serve } from "@hono/node-server";
import { gateway, type GatewayCall, type MessageInput } from "@messagedb/client/gateway";
import { Hono } from "hono";
import { readFile } from "node:fs/promises";
import process from "node:process";
import postgres from "postgres";

const url = process.env["DATABASE_URL"] ?? "postgres://message_store@localhost/message_store";
const sql = postgres(url, { fetch_types: false });

const tokens: Record<string, string[]> = JSON.parse(process.env["TOKENS"] ?? "{}");
const categoriesOf = new Map(Object.entries(tokens));

function authorize(request: Request, call: GatewayCall): boolean {
  if (isOfGuestBook(call)) return true;
  const { operation, writes, category } = call;
  const token = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
  const categories = categoriesOf.get(token);
  if (!categories) return false;
  if (!writes) return true;
  // An import chooses the time of its messages: nobody has that right here.
  return operation !== "importMessages" && category !== undefined && categories.includes(category);
}

/** Says what everyone may do: read one stream, and add one kind of message to it, of one shape and size. */
function isOfGuestBook({ operation, streamName, messages = [] }: GatewayCall): boolean {
  if (streamName !== "guestBook-1") return false;
  return operation === "readStream" || (operation === "write" && messages.every(isSignature));
}

function isSignature({ type, data, metadata }: MessageInput): boolean {
  if (type !== "Signed" || metadata || typeof data !== "object" || data === null) return false;
  const { name, text, ...others } = data as Record<string, unknown>;
  return isLine(name, 40) && isLine(text, 200) && Object.keys(others).length === 0;
}

function isLine(text: unknown, longest: number): boolean {
  return typeof text === "string" && text.length <= longest;
}

const stopping = new AbortController();
const handle = gateway(sql, { authorize, basePath: "/events", signal: stopping.signal });
const page = await readFile(new URL("guest_book.html", import.meta.url), "utf8");

const app = new Hono();
app.get("/", (context) => context.html(page));
app.all("/events/*", (context) => handle(context.req.raw));

const server = serve(
  { fetch: app.fetch, port: Number(process.env["PORT"] ?? 8000) },
  ({ port }) => {
    console.log(`Listening on http://localhost:${port}`);
  },
);

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    // What is followed live ends, too: its clients come again, to another server.
    stopping.abort();
    server.close(() => void sql.end());
  });
}
