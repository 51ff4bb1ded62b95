import { randomBytes } from "node:crypto";
import postgres from "postgres";
import { inject } from "vitest";
import { createDatabase } from "../_server.ts";
import { install, uninstall } from "../../src/database/install.ts";
import { describeSkipped } from "../_describe_skipped.ts";
import { hasOldest, startOldest } from "../_oldest_postgres.ts";
import { type Databases, describeSuite } from "./_describe_suite.ts";
import { pgbouncer, startPgbouncer } from "./_pgbouncer.ts";
import type { Settings } from "./environment.ts";

type Options = NonNullable<Settings["options"]>;

function postgresJs(databases: Databases, options?: Options): Settings {
  return { driver: "postgres.js", ...databases, ...(options && { options }) };
}

const configurations: Readonly<Record<string, Options>> = {
  "transform: postgres.camel": { transform: "camel" },
  "types: { bigint: postgres.BigInt }": { bigint: true },
  "prepare: false": { prepare: false },
  "fetch_types: false": { fetch_types: false },
  "all of these options": { transform: "camel", bigint: true, prepare: false, fetch_types: false },
  // As a parameter of the connection: a role without a password cannot log in everywhere.
  "the role message_store": { connection: { role: "message_store" } },
  "an empty search_path": { connection: { search_path: '""' } },
};

for (const [name, options] of Object.entries(configurations)) {
  describeSuite(`postgres.js with ${name}`, "Node", (databases) => postgresJs(databases, options));
}

describeSuite(
  "postgres.js with TZ=America/New_York",
  "Node",
  (databases) => postgresJs(databases),
  { TZ: "America/New_York" },
);

describeSuite(
  "postgres.js as a role that is granted message_store",
  "Node",
  async (databases, after) => {
    const role = `messagedb_plain_${randomBytes(6).toString("hex")}`;
    const sql = postgres(databases.url, { max: 1 });
    after(async () => {
      await sql`drop role ${sql(role)}`;
      await sql.end();
    });
    await sql`create role ${sql(role)}`;
    await sql`grant message_store to ${sql(role)}`;
    return postgresJs(databases, { connection: { role } });
  },
);

describeSuite("postgres.js with Message DB in another schema", "Node", async (databases) => {
  const sql = postgres(databases.url, { max: 1, onnotice: () => {} });
  await install(sql, { schema: "tenant" });
  await uninstall(sql);
  await sql.end();
  return { ...postgresJs(databases, { connection: { role: "tenant" } }), schema: "tenant" };
});

/** What is written through a traced handle gets a trace. */
const WITH_TRACE = {
  "a message is read as it was written, with its place and its time": /\+ +traceparent/,
  "metadata comes back under its own keys; none is null and none of its keys is {}":
    /\+ +traceparent/,
};

for (
  const [driver, runtime] of [
    ["postgres.js", "Node"],
    ["fetchSql", "Node"],
    ["Bun's SQL", "Bun"],
  ] as const
) {
  describeSuite(
    `${driver}, traced`,
    runtime,
    (databases) => ({ driver, ...databases, traced: true }),
    {},
    WITH_TRACE,
  );
}

const REFUSAL = /\bPartitionError: /;
/** What is of all partitions at once, and the program's own SQL without a partition. */
const OF_ALL = {
  "a message's time is when the database wrote it, to the millisecond": REFUSAL,
  "readAll() reads the store by global position, forward and backward": REFUSAL,
  "read() reads a stream, a category or all, by the name": REFUSAL,
  "iterateAll() reads on over its batches": REFUSAL,
  "subscribe() follows all streams": REFUSAL,
  "a database without Message DB is a NotInstalledError from every operation": REFUSAL,
  "no operation changes the search path of its session": REFUSAL,
  "a handler's work and its position are one transaction": REFUSAL,
};
/** What is of several partitions at once. An id is known in its partition alone. */
const OF_SEVERAL = {
  "write() of an id that another stream has is a DuplicateMessageError": /nothing was thrown/,
  "write() of one id to 20 streams at once writes it to one of them": /AssertionError/,
  "writeBatch() of messages that another stream has writes nothing": /nothing was thrown/,
  "writeStreams() writes to several streams and answers their last positions": REFUSAL,
  "writeStreams() with one stream at a wrong version writes to none": REFUSAL,
  "writeStreams() to the same streams in opposite orders do not wait for each other": REFUSAL,
  "aggregate() keeps references to messages, each once, and readAggregate() resolves them": REFUSAL,
  "subscribe() and drain() take an aggregate": REFUSAL,
};

for (
  const [title, count, onePartition, refused, traced] of [
    ["one partition", 1, 0, OF_ALL],
    ["four partitions, with all categories in one", 4, 2, OF_ALL],
    ["four partitions", 4, undefined, { ...OF_ALL, ...OF_SEVERAL }],
    ["four partitions, traced", 4, undefined, { ...OF_ALL, ...OF_SEVERAL, ...WITH_TRACE }, true],
  ] as const
) {
  const connect = async (databases: Databases, after: (cleanUp: () => Promise<void>) => void) => {
    const urls: string[] = [];
    for (let number = 0; number < count; number++) {
      const { url, drop } = await createDatabase(inject("databaseOrigin"));
      after(drop);
      const sql = postgres(url, { max: 1, onnotice: () => {} });
      await install(sql, { partition: { number, of: count } });
      await sql.end();
      urls.push(url);
    }
    const placed = onePartition === undefined ? {} : { onePartition };
    return {
      driver: "partitions",
      ...databases,
      partitions: urls,
      ...placed,
      ...(traced && { traced }),
    } as const;
  };
  describeSuite(`postgres.js over ${title}`, "Node", connect, {}, refused);
}

const onOldest = "postgres.js on PostgreSQL 12";
if (!hasOldest) describeSkipped(onOldest, "npm has its binaries for Linux on x64 only");
else {
  describeSuite(onOldest, "Node", async (_, after) => {
    const server = await startOldest();
    after(server.stop);
    const sql = postgres(server.url, { max: 1, onnotice: () => {} });
    await sql`create database bare`;
    await install(sql);
    await sql.end();
    return postgresJs({ url: server.url, bareUrl: server.url.replace(/postgres$/, "bare") });
  });
}

const throughPgbouncer = "postgres.js through pgbouncer in transaction mode";
if (pgbouncer === undefined) {
  describeSkipped(throughPgbouncer, "pgbouncer is not installed");
} else {
  const command = pgbouncer;
  describeSuite(throughPgbouncer, "Node", async (databases, after) => {
    const { url, stop } = await startPgbouncer(command, databases.url);
    after(stop);
    return postgresJs({ ...databases, url }, { prepare: false });
  });
}
