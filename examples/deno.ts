/**
 * Prints what a store holds: its categories, and how many streams and messages each has.
 *
 *     cd examples
 *     DATABASE_URL=postgres://… deno run --allow-env --allow-net deno.ts
 */
import { categories, iterateCategory, streamNames } from "@messagedb/client";
import process from "node:process";
import postgres from "postgres";

const url = process.env["DATABASE_URL"] ?? "postgres://message_store@localhost/message_store";
const sql = postgres(url, { fetch_types: false });

for (const category of await categories(sql)) {
  const streams = await streamNames(sql, category);
  let messages = 0;
  for await (const _ of iterateCategory(sql, category)) messages++;
  console.log(`${category}: ${streams.length} streams, ${messages} messages`);
}

await sql.end();
