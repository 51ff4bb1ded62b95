import type postgres from "postgres";
import type { MeasuredWay } from "../terminal/measure.ts";

/** A way that the bench measures. */
export interface BenchWay extends MeasuredWay {
  readonly name: BenchName;
  readonly title: string;
  /** The way that it stands beside: how many times as much it does. */
  readonly base?: BenchName;
}

/** The names of the ways. */
export type BenchName =
  | "roundTrip"
  | "commit"
  | "write"
  | "commits"
  | "writesToOneCategory"
  | "writesToCategories"
  | "groupedWrites"
  | "writeBatch"
  | "readCategory";

/** What the ways are made of. */
export interface BenchSetting {
  /** A handle with one connection. */
  readonly one: postgres.Sql;
  /** A handle with a connection for each writer. */
  readonly many: postgres.Sql;
  readonly writers: number;
  /** The category that is written to. The names of others begin with it. */
  readonly category: string;
}

/** Messages in a batch. */
const MESSAGES_OF_BATCH = 100;
/** Messages in a page. */
const PAGE_SIZE = 1000;
/** How many streams each category gets. */
const STREAMS = 100;
/** The data of each message: 200 bytes. */
const DATA = { amount: 11, text: "x".repeat(177) };

const TEXT = JSON.stringify(DATA);
const MESSAGE = { type: "Measured", data: DATA };

/** Writes what will be read, and makes the ways. */
export async function makeWays(setting: BenchSetting): Promise<BenchWay[]> {
  const ways = [
    await waysAlone(setting),
    await waysTogether(setting),
    await waysOfBatches(setting),
  ];
  return ways.flat();
}

async function waysAlone({ one, category }: BenchSetting): Promise<BenchWay[]> {
  const { write } = await import("@messagedb/client");
  const alone = { atOnce: 1, messages: 1 } as const;
  const next = nextOf(category);
  return [
    { name: "roundTrip", title: "select 1", ...alone, call: () => answerOne(one) },
    { name: "commit", title: "bare commit", ...alone, call: () => commitBare(one) },
    {
      name: "write",
      title: "write",
      ...alone,
      call: () => write(one, next(), MESSAGE),
      base: "commit",
    },
  ];
}

async function waysTogether({ many, writers, category }: BenchSetting): Promise<BenchWay[]> {
  const { groupCommit, write } = await import("@messagedb/client");
  const together = { atOnce: writers, messages: 1 } as const;
  const writeInGroup = groupCommit(many);
  const next = nextOf(category);
  const nextOfEach = Array.from(
    { length: writers },
    (_, writer) => nextOf(`${category}Of${writer}`),
  );
  return [
    { name: "commits", title: "bare commits", ...together, call: () => commitBare(many) },
    {
      name: "writesToOneCategory",
      title: "write to one category",
      ...together,
      call: () => write(many, next(), MESSAGE),
      base: "commits",
    },
    {
      name: "writesToCategories",
      title: "write to a category each",
      ...together,
      call: (writer) => write(many, nextOfEach[writer]!(), MESSAGE),
      base: "commits",
    },
    {
      name: "groupedWrites",
      title: "groupCommit to one category",
      ...together,
      call: () => writeInGroup(next(), MESSAGE),
      base: "commits",
    },
  ];
}

async function waysOfBatches({ one, category }: BenchSetting): Promise<BenchWay[]> {
  const { readCategory, writeBatch } = await import("@messagedb/client");
  const batch = Array<typeof MESSAGE>(MESSAGES_OF_BATCH).fill(MESSAGE);
  const read = `${category}Read`;
  for (let written = 0; written < PAGE_SIZE; written += MESSAGES_OF_BATCH) {
    await writeBatch(one, `${read}-1`, batch);
  }
  const [first] = await readCategory(one, read, { batchSize: 1 });
  const page = { position: first!.globalPosition, batchSize: PAGE_SIZE };
  const next = nextOf(`${category}Batch`);
  return [
    {
      name: "writeBatch",
      title: `writeBatch of ${MESSAGES_OF_BATCH}`,
      atOnce: 1,
      messages: MESSAGES_OF_BATCH,
      call: () => writeBatch(one, next(), batch),
      base: "write",
    },
    {
      name: "readCategory",
      title: "readCategory, a page of 1,000",
      atOnce: 1,
      messages: PAGE_SIZE,
      call: () => readCategory(one, read, page),
    },
  ];
}

/** Names of a category's streams, again and again. */
function nextOf(category: string): () => string {
  let count = 0;
  return () => `${category}-${count++ % STREAMS}`;
}

// The only SQL of the command line. It asks nothing of Message DB: it is what Message DB stands beside.

async function answerOne(sql: postgres.Sql): Promise<void> {
  await sql`select 1`;
}

// A message in the write-ahead log is as many bytes that a commit has to bring to the disk as a row of a table, and
// needs no table: no right to make one, and nothing to take away again.
async function commitBare(sql: postgres.Sql): Promise<void> {
  await sql`select pg_catalog.pg_logical_emit_message(true, 'messagedb bench', ${TEXT}::text)`;
}
