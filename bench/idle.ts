/**
 * `npm run bench:idle`: what followers and consumers cost that wait for messages.
 *
 * It starts the embedded server. `--followers` says how many follow a gateway, `--categories` what, `--consumers`
 * how many consumers wait, and `--seconds` for how long each is counted.
 */
import { consume, type Sql, write } from "@messagedb/client";
import { startEmbedded } from "@messagedb/client/embedded";
import { gateway } from "@messagedb/client/gateway";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { number, table } from "./_compare.ts";

const { values } = parseArgs({
  options: {
    followers: { type: "string", default: "10000" },
    categories: { type: "string", default: "100" },
    consumers: { type: "string", default: "50" },
    seconds: { type: "string", default: "10" },
  },
});
const count = Number(values.followers);
const seconds = Number(values.seconds);
const categories = Array.from({ length: Number(values.categories) }, (_, at) => `idle${at}`);

const server = await startEmbedded();
const direct = postgres(server.url, { onnotice: () => {} });
let sent = 0;
const counting: Sql = (strings, ...parameters) => {
  sent++;
  return direct(strings, ...parameters);
};
const rows = [["", "statements a second", "memory, MB", "median delay, ms", "longest, ms"]];

try {
  for (const category of categories) await write(direct, `${category}-1`, { type: "First" });
  await measureFollowers();
  await measureConsumers();
  console.log(table(rows));
} finally {
  await direct.end();
  await server.stop();
}

async function measureFollowers(): Promise<void> {
  const stopping = new AbortController();
  const memory = memoryNow();
  const { signal } = stopping;
  const answer = gateway(counting, { authorize: () => true, maxFollowers: count, signal });
  const seen = new Uint8Array(count);
  const at = new Float64Array(count);
  const begin = sent;
  for (let follower = 0; follower < count; follower++) {
    const category = categories[follower % categories.length];
    const url = `http://localhost/categories/${category}/messages`;
    const { body } = await answer(new Request(url, { headers: { accept: "text/event-stream" } }));
    void take(body!, (text) => {
      seen[follower]! += text.split("\ndata: ").length - 1;
      at[follower] = performance.now();
    });
  }
  while (seen.some((messages) => messages < 1)) await sleep(50);
  console.log(`${number(sent - begin)} statements until ${number(count)} had caught up`);
  await sleep(5000);
  const before = sent;
  await sleep(seconds * 1000);
  const statements = (sent - before) / seconds;
  const grown = memoryNow() - memory;
  const delays: number[] = [];
  for (let round = 0; round < 10; round++) {
    const category = categories[round % categories.length]!;
    const mine = [...seen.keys()].filter((it) =>
      it % categories.length === categories.indexOf(category)
    );
    const had = seen[mine[0]!]!;
    await sleep(3000 + Math.random() * 1000);
    await write(direct, `${category}-1`, { type: "Next" });
    const writtenAt = performance.now();
    while (mine.some((it) => seen[it] === had)) await sleep(5);
    delays.push(Math.max(...mine.map((it) => at[it]! - writtenAt)));
  }
  delays.sort((a, b) => a - b);
  rows.push([
    `${number(count)} followers, ${categories.length} categories`,
    statements.toFixed(1),
    (grown / 1e6).toFixed(0),
    number(Math.round(delays[delays.length >> 1]!)),
    number(Math.round(delays.at(-1)!)),
  ]);
  stopping.abort();
}

async function measureConsumers(): Promise<void> {
  const stopping = new AbortController();
  const memory = memoryNow();
  let behind = Number(values.consumers);
  const running = Array.from({ length: behind }, (_, at) => {
    const category = categories[at % categories.length]!;
    const onCaughtUp = () => void behind--;
    const consumer = { category, consumerId: `idle${at}`, handle: () => {} };
    return consume(counting, consumer, { signal: stopping.signal, onCaughtUp });
  });
  while (behind > 0) await sleep(50);
  await sleep(5000);
  const before = sent;
  await sleep(seconds * 1000);
  const statements = (sent - before) / seconds;
  const grown = memoryNow() - memory;
  rows.push([
    `${values.consumers} consumers`,
    statements.toFixed(1),
    (grown / 1e6).toFixed(0),
    "",
    "",
  ]);
  stopping.abort();
  await Promise.all(running);
}

async function take(body: ReadableStream<Uint8Array>, told: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  for await (const part of body) {
    const text = decoder.decode(part);
    if (text.includes("data:")) told(`\n${text}`);
  }
}

function memoryNow(): number {
  globalThis.gc?.();
  return process.memoryUsage().rss;
}
