/**
 * Reads a category as one member of a consumer group, from where the last run of this program came to.
 *
 * What it has handled is a message itself, in a stream of its own, so nothing else is needed to go on.
 *
 *     DATABASE_URL=postgres://… bun examples/bun.ts account 0 2
 */
import { iterateCategory, readLastMessage, write } from "@messagedb/client";
// @ts-ignore: Bun's own module, whose types are in the package @types/bun.
import { SQL } from "bun";
import process from "node:process";

const [category = "account", member = "0", size = "1"] = process.argv.slice(2);
const sql = new SQL(
  process.env["DATABASE_URL"] ?? "postgres://message_store@localhost/message_store",
);

const positions = `${category}:position-example+${member}+${size}`;
const last = await readLastMessage<{ position: number }>(sql, positions);
let position = last?.data.position ?? 0;
let count = 0;

const consumerGroup = { member: Number(member), size: Number(size) };
for await (
  const message of iterateCategory(sql, category, { position: position + 1, consumerGroup })
) {
  // Do here what is to be done, and be ready to do it twice: this program can end before it says so.
  position = message.globalPosition;
  count++;
}
if (count > 0) await write(sql, positions, { type: "Read", data: { position } });
console.log(`${count} messages of ${category}, up to position ${position}`);

await sql.end();
