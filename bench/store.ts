/**
 * `npm run bench:store`: by which plans every operation runs on a store of 1,000,000 messages in 100,000
 * streams.
 *
 * It starts the embedded server, or takes the database of `DATABASE_URL`, as a superuser, which must
 * hold no messages, and fills it. `--messages` and `--streams` say how large it is made, `--only` which
 * operations are wanted, by a part of their names.
 */
import { startEmbedded } from "@messagedb/client/embedded";
import { install } from "@messagedb/client/install";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { parseArgs } from "node:util";
import { number, table } from "./_compare.ts";
import { operationsOn } from "./_operations.ts";
import { explainer } from "./_plans.ts";
import { fillStore } from "./_store.ts";

const { values } = parseArgs({
  options: {
    messages: { type: "string", default: "1000000" },
    streams: { type: "string", default: "100000" },
    only: { type: "string", default: "" },
  },
});
const size = { messages: Number(values.messages), streams: Number(values.streams) };

const given = process.env["DATABASE_URL"];
const dataDir = await mkdtemp(join(tmpdir(), "messagedb-bench-"));
const embedded = given ? undefined : await startEmbedded({ dataDir });
const { sql, explain, planBy } = await explainer(given ?? embedded!.url);
try {
  await install(sql);
  const [any] = await sql`select from message_store.messages limit 1`;
  if (any) throw new Error("Cannot fill the store: it holds messages");
  const start = performance.now();
  await fillStore(sql, size);
  const seconds = number((performance.now() - start) / 1000);
  console.log(`${number(size.messages)} messages, made in ${seconds} s\n`);

  for (const mode of ["force_custom_plan", "force_generic_plan"] as const) {
    await planBy(mode);
    const rows: string[][] = [];
    for (const [name, operation] of Object.entries(operationsOn(size))) {
      if (!name.includes(values.only)) continue;
      await explain(operation);
      const { time, statements, buffers, indexes, sorts, seqScans } = await explain(operation);
      rows.push([
        name,
        String(statements),
        `${time.toFixed(1)} ms`,
        number(buffers),
        [...indexes].map(([index, rows]) => `${index.slice(9)} ${number(rows)}`).join(", "),
        number(Math.max(0, ...sorts)),
        number(Math.max(0, ...seqScans)),
      ]);
    }
    const heads = ["statements", "time", "buffers", "rows by index", "rows sorted", "rows scanned"];
    console.log(table([[`plan_cache_mode = ${mode}`, ...heads], ...rows]), "\n");
  }
} finally {
  await sql.end();
  await embedded?.stop();
  await rm(dataDir, { recursive: true, force: true });
}
