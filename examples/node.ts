/**
 * Withdraws money from an account, once, however many do so at the same time.
 *
 *     DATABASE_URL=postgres://… npx tsx examples/node.ts
 */
import { readStream, type Sql, write, WrongExpectedVersionError } from "@messagedb/client";
import process from "node:process";
import postgres from "postgres";

/** Reads, decides, and writes if the stream is still as it was read; else reads again. */
async function withdraw(sql: Sql, streamName: string, amount: number): Promise<boolean> {
  while (true) {
    const messages = await readStream<{ amount: number }>(sql, streamName);
    const balance = messages.reduce((sum, { type, data }) => {
      return type === "Deposited" ? sum + data.amount : sum - data.amount;
    }, 0);
    if (balance < amount) return false;
    try {
      const withdrawn = { type: "Withdrawn", data: { amount } };
      await write(sql, streamName, withdrawn, { expectedVersion: messages.length - 1 });
      return true;
    } catch (error) {
      if (!(error instanceof WrongExpectedVersionError)) throw error;
    }
  }
}

const url = process.env["DATABASE_URL"] ?? "postgres://message_store@localhost/message_store";
const sql = postgres(url, { fetch_types: false });
const streamName = `account-${crypto.randomUUID()}`;

await write(sql, streamName, { type: "Deposited", data: { amount: 30 } });
const outcomes = await Promise.all(Array.from({ length: 8 }, () => withdraw(sql, streamName, 10)));
console.log(`${outcomes.filter(Boolean).length} of ${outcomes.length} could withdraw 10 of 30`);

await sql.end();
