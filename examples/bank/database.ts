/**
 * Where does the bank keep its messages, on a machine that has no database?
 *
 *     npx tsx examples/bank/database.ts
 *
 * It prints the DATABASE_URL for the other programs, and runs until Control-C. Then the data is gone.
 */
import { startEmbedded } from "@messagedb/client/embedded";
import process from "node:process";

const server = await startEmbedded();
console.log(`export DATABASE_URL=${server.url}`);

// The server ends with this program, and does not keep it running: a timer does.
const running = setInterval(() => {}, 60_000);
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    clearInterval(running);
    void server.stop();
  });
}
