/**
 * `npm run bench:entities`: what it costs to fetch an entity, long and short, and to parse what is read.
 *
 * It takes the database of `DATABASE_URL`, as a superuser, and leaves some hundred thousand messages in
 * it, in a category whose name begins with `bench`; or it starts the embedded server. `--rounds` says how
 * often each way is measured, and for how many milliseconds, about, `--duration`; `--messages` how long
 * the long entity is.
 */
import {
  defineMessages,
  entity,
  type EntityCache,
  type Message,
  project,
  readStream,
  writeBatch,
} from "@messagedb/client";
import { startEmbedded } from "@messagedb/client/embedded";
import { install } from "@messagedb/client/install";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import postgres from "postgres";
import * as z from "zod";
import { compare, type Extent, number, table, warmUp } from "./_compare.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "15" },
    messages: { type: "string", default: "100000" },
    duration: { type: "string", default: "200" },
  },
});
const messages = Number(values.messages);
const extent: Extent = {
  rounds: Number(values.rounds),
  duration: Number(values.duration),
  count: 10_000,
};

const given = process.env["DATABASE_URL"];
const dataDir = await mkdtemp(join(tmpdir(), "messagedb-bench-"));
const embedded = given ? undefined : await startEmbedded({ dataDir });
const sql = postgres(given ?? embedded!.url, { onnotice: () => {} });
const category = `bench${crypto.randomUUID().slice(0, 8)}`;

const account = defineMessages({ Deposited: z.object({ amount: z.number() }) });
const definition = {
  category,
  init: () => ({ balance: 0, count: 0 }),
  evolve: (state: { balance: number; count: number }, { data }: Message<{ amount: number }>) => ({
    balance: state.balance + data.amount,
    count: state.count + 1,
  }),
};
const kept = new Map<string, object>();
const cache: EntityCache = { get: (name) => kept.get(name), set: (name, it) => kept.set(name, it) };
const plain = entity(definition);
const snapshot = { every: 100 };
const snapshotted = entity({ ...definition, snapshot });
const cached = entity({ ...definition, snapshot, cache });

try {
  await install(sql);
  for (const [id, count] of [["short", 10], ["long", messages]] as const) {
    for (let from = 0; from < count; from += 10_000) {
      const size = Math.min(count - from, 10_000);
      const batch = Array.from(
        { length: size },
        () => ({ type: "Deposited", data: { amount: 1 } }),
      );
      await writeBatch(sql, `${category}-${id}`, batch);
    }
  }
  // A snapshot, and half as many messages behind it as there are at most.
  await snapshotted.fetch(sql, "long");
  const half = Array.from({ length: 50 }, () => ({ type: "Deposited", data: { amount: 1 } }));
  await writeBatch(sql, `${category}-long`, half);

  const fetches = {
    concurrency: 1,
    title: "fetch",
    ways: [
      () => plain.fetch(sql, "short"),
      () => snapshotted.fetch(sql, "long"),
      () => cached.fetch(sql, "long"),
    ],
  };
  const page = `${category}-long`;
  const init = () => 0;
  const until = 9_999;
  const folds = {
    concurrency: 1,
    title: "fold",
    ways: [
      async () => {
        for (let position = 0; position <= until; position += 1000) {
          await readStream(sql, page, { position });
        }
      },
      () => project(sql, page, { init, until, evolve: (state) => state + 1 }),
      () => project(sql, page, { init, until, evolve: (state) => state + 1, messages: account }),
    ],
  };
  await warmUp([fetches, folds], extent);
  const fetched = await compare(fetches, extent);
  const folded = await compare(folds, extent);

  const names = [
    "10 messages",
    `${number(messages)} messages, the last snapshot 50 before the end`,
    `${number(messages)} messages, in the cache`,
  ];
  const [base] = fetched.rates;
  const rows = names.map((name, at) => {
    const { median } = fetched.rates[at]!;
    const milliseconds = 1000 / median;
    const more = milliseconds - 1000 / base!.median;
    return [name, `${milliseconds.toFixed(2)} ms`, at === 0 ? "" : `${more.toFixed(2)} ms more`];
  });
  console.log(`${cpus()[0]?.model}, ${cpus().length} cores, Node ${process.version}\n`);
  console.log(table([["To fetch an entity", "time", ""], ...rows]));
  const shares = ["readStream, 1000 at a time", "project", "project, parsed by zod"];
  console.log();
  console.log(table([
    ["To fold 10,000 messages", "rate", "low", "high"],
    ...shares.map((name, at) => {
      const { median, low, high } = folded.ratios[at]!;
      return [name, median.toFixed(2), low.toFixed(2), high.toFixed(2)];
    }),
  ]));
} finally {
  await sql.end();
  await embedded?.stop();
  await rm(dataDir, { recursive: true, force: true });
}
