/**
 * A program with an embedded server, for the tests of how such a server lives and dies.
 *
 * Its argument is JSON: the options of `startEmbedded`, and what to do `then`. What it prints is JSON.
 */
import { once } from "node:events";
import process from "node:process";
import postgres from "postgres";
import { startEmbedded } from "../../src/database/embedded.ts";
import { isInstalled } from "../../src/database/install.ts";

const { then, ...options } = JSON.parse(process.argv[2] ?? "{}");

const server = await startEmbedded(options);
const sql = postgres(server.url, { max: 1 });
const [row] = await sql`
  select
    pg_backend_pid() as backend,
    split_part(pg_read_file('postmaster.pid'), chr(10), 1)::int as postmaster`;
const installed = await isInstalled(sql);
await sql.end();
console.log(
  JSON.stringify({ url: server.url, installed, ...row }),
);

if (then === "stop") await server.stop();
if (then === "exit") process.exit();
// Held open until it is killed.
if (then === "wait") await once(process.stdin.resume(), "never");
