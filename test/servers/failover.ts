/**
 * The failover of failover.test.ts, for as long as you like:
 *
 *     npx tsx test/servers/failover.ts 60 sync
 *     npx tsx test/servers/failover.ts 60 async pgbouncer
 *
 * It prints what was counted, and exits with 1 if a promise was broken.
 */
import process from "node:process";
import { pgbouncer } from "../runtimes/_pgbouncer.ts";
import { failOver } from "./_failover.ts";
import { brokenPromises } from "./_broken_promises.ts";

const [seconds = "20", mode = "sync", pooler] = process.argv.slice(2);
if (mode !== "sync" && mode !== "async") throw new TypeError(`Cannot fail over "${mode}"`);
if (pooler && pgbouncer === undefined) throw new Error("Cannot find pgbouncer");
const report = await failOver({
  seconds: Number(seconds),
  mode,
  pgbouncer: pooler && pgbouncer,
});
console.log(report);
const broken = brokenPromises(report, { mayLose: mode === "async" });
for (const sentence of broken) console.log(sentence);
process.exitCode = broken.length === 0 ? 0 : 1;
