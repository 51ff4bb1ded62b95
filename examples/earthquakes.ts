/**
 * A week of earthquakes in Message DB: writes 1707 real events to a real PostgreSQL, reads them back by
 * stream and by category, and writes them all again to show that nothing is written twice.
 *
 *     npm run demo
 *     deno task demo
 */
import {
  type ConsumerGroup,
  id,
  iterateCategory,
  type Message,
  type MessageInput,
  messageStoreVersion,
  readStream,
  type Sql,
  streamName,
  streamNames,
  writeBatch,
} from "@messagedb/client";
import { startEmbedded } from "@messagedb/client/embedded";
import { readFile } from "node:fs/promises";
import process from "node:process";
import postgres from "postgres";

/** What the U.S. Geological Survey says of one event, as far as this program wants to know. */
interface Feature {
  readonly properties: {
    readonly mag: number;
    readonly place: string;
    readonly time: number;
    readonly net: string;
    readonly type: string;
    readonly url: string;
  };
  readonly geometry: {
    readonly coordinates: readonly [number, number, number];
  };
}

/** The `data` of our messages. */
interface Quake {
  readonly magnitude: number;
  readonly place: string;
  readonly at: string;
  readonly kind: string;
  readonly longitude: number;
  readonly latitude: number;
  readonly depth: number;
}

const NETWORKS: Readonly<Record<string, string>> = {
  ak: "Alaska",
  ci: "Southern California",
  hv: "Hawaii",
  mb: "Montana",
  nc: "Northern California",
  nm: "New Madrid",
  nn: "Nevada",
  pr: "Puerto Rico",
  se: "Southeast U.S.",
  us: "Rest of the world",
  uu: "Utah",
  uw: "Pacific Northwest",
};

title("A week of earthquakes in Message DB");

// A PostgreSQL of our own, with Message DB in it. With a database of yours, this is all that changes.
showProgress("Starting", 0);
const server = await timed(startEmbedded);
const sql = postgres(server.result.url);
const version = await messageStoreVersion(sql);
done("Started", `an embedded PostgreSQL with Message DB ${version}`, server.ms);

// ── Write ────────────────────────────────────────────────────────────────────────────────────────

const batches = await toBatches(await readFeatures());
const first = await timed(() => load("Writing", sql, batches));
const count = await countMessages(sql);
const streams = await streamNames(sql, "earthquake");
done("Wrote", `${number(count)} events to ${streams.length} streams`, first.ms);

// ── Read ─────────────────────────────────────────────────────────────────────────────────────────

// A consumer group shares a category: each member reads streams that no other member reads, whole
// and in order. Both members are in this process here; they could be on two machines.
const members = await timed(() =>
  Promise.all([
    readShare(sql, { member: 0, size: 2 }),
    readShare(sql, { member: 1, size: 2 }),
  ])
);
const shares = members.result.map((messages) => number(messages.length)).join(
  " + ",
);
done("Read", `${shares} events by a consumer group of two`, members.ms);

title("The strongest five", "magnitude, place and time: category earthquake");
const strongest = members.result.flat()
  .sort((a, b) => b.data.magnitude - a.data.magnitude)
  .slice(0, 5);
for (const message of strongest) console.log(line(message));

title("The last three in Alaska", "stream earthquake-ak, backward");
const latest = await readStream<Quake>(sql, "earthquake-ak", {
  direction: "backward",
  batchSize: 3,
});
for (const message of latest) console.log(line(message));

title(
  "Events per network",
  "a stream each, and the member of the group that read it",
);
const networks = members.result.flatMap((messages, member) => {
  const counts = new Map<string, number>();
  for (const { streamName } of messages) {
    counts.set(streamName, (counts.get(streamName) ?? 0) + 1);
  }
  return [...counts].map(([streamName, count]) => ({
    network: id(streamName)!,
    count,
    member,
  }));
});
networks.sort((a, b) => b.count - a.count);
for (const { network, count, member } of networks) {
  const name = (NETWORKS[network] ?? network).padEnd(21);
  const bar = "█".repeat(Math.ceil(count / networks[0]!.count * 36));
  console.log(
    `  ${name}${number(count).padStart(4)}  ${member}  ${paint(member === 0 ? 36 : 33, bar)}`,
  );
}

// ── Write again ──────────────────────────────────────────────────────────────────────────────────

// As a program would that crashed on its way and does not know how far it came.
console.log();
const second = await timed(() => load("Writing again", sql, batches));
const countAgain = await countMessages(sql);
const same = `the same ${number(count)} events, and the store still has ${number(countAgain)}`;
done("Wrote again", same, second.ms);
console.log();

await sql.end();
await server.result.stop();
if (countAgain !== count) process.exitCode = 1;

/** A part of a stream, to be written at once: its messages go to `position` and after. */
interface Batch {
  readonly streamName: string;
  readonly position: number;
  readonly messages: readonly MessageInput[];
}

/**
 * Writes all batches, one after another.
 *
 * The expected version is the position before the batch's first: -1, which is NO_STREAM, for the
 * first of a stream. Another writer in between would make it fail. Having been here before does not:
 * each message has its own id, and a batch that is in the store already answers its position again.
 */
async function load(
  what: string,
  sql: Sql,
  batches: readonly Batch[],
): Promise<void> {
  for (const [at, { streamName, position, messages }] of batches.entries()) {
    await writeBatch(sql, streamName, messages, {
      expectedVersion: position - 1,
    });
    showProgress(what, (at + 1) / batches.length);
  }
}

async function countMessages(sql: Sql): Promise<number> {
  let count = 0;
  for await (const _ of iterateCategory(sql, "earthquake")) count++;
  return count;
}

async function readShare(
  sql: Sql,
  consumerGroup: ConsumerGroup,
): Promise<Message<Quake>[]> {
  const messages: Message<Quake>[] = [];
  for await (
    const message of iterateCategory<Quake>(sql, "earthquake", {
      consumerGroup,
    })
  ) {
    messages.push(message);
  }
  return messages;
}

/** The events that the npm package `vega-datasets` holds, the oldest first. */
async function readFeatures(): Promise<Feature[]> {
  const file = new URL(
    "../data/earthquakes.json",
    import.meta.resolve("vega-datasets"),
  );
  const { features }: { features: Feature[] } = JSON.parse(
    await readFile(file, "utf8"),
  );
  return features.sort((a, b) => a.properties.time - b.properties.time);
}

/** A stream per seismic network, fifty messages a batch. */
async function toBatches(features: readonly Feature[]): Promise<Batch[]> {
  const streams = new Map<string, MessageInput[]>();
  for (const feature of features) {
    const name = streamName("earthquake", feature.properties.net);
    if (!streams.has(name)) streams.set(name, []);
    streams.get(name)!.push(await toMessage(feature));
  }
  const batches: Batch[] = [];
  for (const [streamName, messages] of streams) {
    for (let position = 0; position < messages.length; position += 50) {
      batches.push({
        streamName,
        position,
        messages: messages.slice(position, position + 50),
      });
    }
  }
  return batches;
}

async function toMessage(
  { properties, geometry }: Feature,
): Promise<MessageInput> {
  const { mag, place, time, type, url } = properties;
  const [longitude, latitude, depth] = geometry.coordinates;
  const at = new Date(time).toISOString();
  const data: Quake = {
    kind: type,
    magnitude: mag,
    place,
    at,
    longitude,
    latitude,
    depth,
  };
  return { id: await uuidOf(url), type: "Recorded", data, metadata: { url } };
}

/**
 * The UUID (version 5) of a URL: the same here, tomorrow and in any other language. What has an id in
 * the world keeps it in the store, so that it can be sent twice and be there once.
 */
async function uuidOf(url: string): Promise<string> {
  const namespace = "6ba7b8119dad11d180b400c04fd430c8".match(/../g)!.map((
    hex,
  ) => parseInt(hex, 16));
  const bytes = Uint8Array.of(...namespace, ...new TextEncoder().encode(url));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-1", bytes))
    .subarray(0, 16);
  hash[6] = hash[6]! & 0x0f | 0x50;
  hash[8] = hash[8]! & 0x3f | 0x80;
  const hex = Array.from(hash, (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

// ── Print ────────────────────────────────────────────────────────────────────────────────────────

async function timed<T>(
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly ms: number }> {
  const start = performance.now();
  return { result: await work(), ms: performance.now() - start };
}

function done(what: string, result: string, ms: number): void {
  erase();
  console.log(
    `  ${paint(32, "✓")} ${what.padEnd(14)}${result} ${paint(2, `in ${number(ms)} ms`)}`,
  );
}

/** On a terminal alone, and gone when the work is done. */
function showProgress(what: string, share: number): void {
  if (!process.stdout.isTTY) return;
  const bar = "█".repeat(Math.round(share * 32)).padEnd(32, "░");
  erase();
  process.stdout.write(
    `    ${what.padEnd(14)}${paint(36, bar)} ${Math.round(share * 100)} %`,
  );
}

function erase(): void {
  if (process.stdout.isTTY) process.stdout.write("\r\x1b[K");
}

function title(text: string, note = ""): void {
  console.log(`\n  ${paint(1, text)}${note && `  ${paint(2, note)}`}\n`);
}

function line({ data, streamName }: Message<Quake>): string {
  const at = data.at.slice(0, 16).replace("T", " ");
  return `  ${paint(1, data.magnitude.toFixed(1).padStart(4))}  ${data.place.padEnd(43)}${
    paint(2, `${at}  ${streamName}`)
  }`;
}

function number(value: number): string {
  return Math.round(value).toLocaleString("en");
}

function paint(color: number, text: string): string {
  return process.stdout.isTTY && !process.env["NO_COLOR"] ? `\x1b[${color}m${text}\x1b[0m` : text;
}
