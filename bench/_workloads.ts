import type { Job } from "./_job.ts";

/** A way to do the work. */
export interface Way {
  /** What it is called in a table. */
  readonly title: string;
  /** Who it is in a chart: the functions of one client share it. */
  readonly peer: Peer;
  /** The file in peers/ and its export, if it is one of ours to run on Node. */
  readonly module?: readonly [file: string, name: string];
}

export type Peer =
  | "@messagedb/client"
  | "groupCommit"
  | "importMessages"
  | "iterate"
  | "subscribe"
  | "drain"
  | "Emmett"
  | "postgres.js"
  | "pg"
  | "message-db-py"
  | "pgbench"
  | "psql";

/** Work that is done in several ways, the first of which the others are compared with. */
export interface Workload {
  readonly name: string;
  readonly section: Section;
  /** What it is called in its section. */
  readonly label: string;
  readonly operation: Job["operation"];
  readonly inFlight: number;
  readonly batchSize: number;
  /** Bytes of a message's data. */
  readonly size: number;
  readonly many: boolean;
  /** How many messages are read, where it is not as many as there is time for. */
  readonly count: number;
  /** How many streams there are to read. */
  readonly streams: number;
  /** Whether others write meanwhile. */
  readonly underWrites: boolean;
  readonly ways: readonly Way[];
}

export type Section = typeof SECTIONS[number];

export const SECTIONS = [
  "Single writes, one category",
  "Single writes, a category each",
  "Batches",
  "Streams read",
  "Entities fetched",
  "A category read",
  "A group, and all under writes",
  "Writes by size, 8 in flight",
  "Reads by size, 100 a page",
] as const;

/** In the order in which they are measured. */
export const OPERATIONS = [
  "write",
  "writeBatch",
  "readStream",
  "fetch",
  "readCategory",
  "readAll",
] as const satisfies Job["operation"][];

const sizes = [100, 1000, 10_000, 100_000];

/** What is measured. A way is one line here. */
export function workloads(messages: number): Workload[] {
  const ours = (title: string): Way => way(title, "@messagedb/client", "messagedb", "plain");
  const iterating = (title: string): Way => way(title, "iterate", "messagedb", "iterating");
  const pgbench: Way = { title: "pgbench", peer: "pgbench" };
  const psql: Way = { title: "psql, COPY", peer: "psql" };
  const emmett = way("Emmett", "Emmett", "emmett", "connect");
  const peers = [
    way("postgres.js", "postgres.js", "postgres_js", "connect"),
    way("pg", "pg", "pg", "connect"),
    { title: "message-db-py", peer: "message-db-py" } satisfies Way,
  ];
  const grouped = way("groupCommit()", "groupCommit", "messagedb", "grouped");
  const importing = way("importMessages()", "importMessages", "messagedb", "importing");
  const writes = [pgbench, ours("write()"), grouped, ...peers, emmett];
  const batches = [ours("writeBatch()"), importing, ...peers, emmett];
  const streams = [ours("readStream()"), iterating("iterateStream()"), ...peers, emmett];
  // What a fetch does for its caller, by hand.
  const folding = peers.map((peer) => ({ ...peer, title: `${peer.title}, folded` }));
  const fetches = (fetch: Way) => [folding[0]!, fetch, ...folding.slice(1), emmett];
  const categories = [psql, ours("readCategory()"), iterating("iterateCategory()"), ...peers];
  const followed = [
    ...categories.slice(0, 3),
    way("subscribe()", "subscribe", "messagedb", "subscribing"),
    way("drain()", "drain", "messagedb", "draining"),
    ...peers,
  ];
  const all = [psql, ours("readAll()"), iterating("iterateAll()"), emmett];

  const base = {
    inFlight: 1,
    batchSize: 1,
    size: 100,
    many: false,
    count: 0,
    streams: 1,
    underWrites: false,
  };
  const streamsOf = (batchSize: number) => Math.ceil(messages / 2 / Math.max(batchSize, 50));
  return [
    ...[1, 8, 64, 256].map((inFlight): Workload => ({
      ...base,
      section: "Single writes, one category",
      name: `write ${inFlight}`,
      label: `${inFlight} in flight`,
      operation: "write",
      inFlight,
      ways: writes,
    })),
    ...[1, 8, 64, 256].map((inFlight): Workload => ({
      ...base,
      section: "Single writes, a category each",
      name: `write ${inFlight} many`,
      label: `${inFlight} in flight`,
      operation: "write",
      inFlight,
      many: true,
      ways: writes,
    })),
    ...[10, 100, 1000, 10_000].map((batchSize): Workload => ({
      ...base,
      section: "Batches",
      name: `batch ${batchSize}`,
      label: `of ${number(batchSize)}`,
      operation: "writeBatch",
      batchSize,
      ways: batches,
    })),
    ...[1, 10, 100, 1000].map((batchSize): Workload => ({
      ...base,
      section: "Streams read",
      name: `stream reads ${batchSize}`,
      label: `of ${number(batchSize)}`,
      operation: "readStream",
      batchSize,
      streams: streamsOf(batchSize),
      ways: streams,
    })),
    ...[ours("entity.fetch()"), way("entity.fetch()", "@messagedb/client", "messagedb", "cached")]
      .map((fetch, at): Workload => ({
        ...base,
        section: "Entities fetched",
        name: at === 0 ? "fetch" : "fetch cached",
        label: at === 0 ? "of 10" : "of 10, cached",
        operation: "fetch",
        batchSize: 10,
        streams: streamsOf(10),
        ways: fetches(fetch),
      })),
    ...[100, 1000, 10_000].map((batchSize): Workload => ({
      ...base,
      section: "A category read",
      name: `category reads ${batchSize}`,
      label: `${number(batchSize)} a page`,
      operation: "readCategory",
      batchSize,
      count: messages,
      ways: followed,
    })),
    {
      ...base,
      section: "A group, and all under writes",
      name: "group reads",
      label: "group of 4",
      operation: "readCategory",
      inFlight: 4,
      batchSize: 1000,
      count: messages,
      ways: followed,
    },
    {
      ...base,
      section: "A group, and all under writes",
      name: "all reads",
      label: "all",
      operation: "readAll",
      batchSize: 1000,
      count: messages / 2,
      underWrites: true,
      ways: all,
    },
    ...sizes.map((size): Workload => ({
      ...base,
      section: "Writes by size, 8 in flight",
      name: `size ${bytes(size)} writes`,
      label: bytes(size),
      operation: "write",
      inFlight: 8,
      size,
      many: true,
      ways: writes,
    })),
    ...sizes.map((size): Workload => ({
      ...base,
      section: "Reads by size, 100 a page",
      name: `size ${bytes(size)} reads`,
      label: bytes(size),
      operation: "readCategory",
      batchSize: 100,
      size,
      // About as many bytes of each.
      count: Math.round(messages / 5 / Math.max(1, size / 1000) / 100) * 100 || 100,
      ways: categories,
    })),
  ];
}

function way(title: string, peer: Peer, file: string, name: string): Way {
  return { title, peer, module: [file, name] };
}

function bytes(size: number): string {
  return size < 1000 ? `${size} B` : `${size / 1000} kB`;
}

function number(value: number): string {
  return value.toLocaleString("en");
}
