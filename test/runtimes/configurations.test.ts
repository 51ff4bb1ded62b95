import { randomBytes } from "node:crypto";
import postgres from "postgres";
import { install, uninstall } from "../../src/database/install.ts";
import { describeSkipped } from "../_describe_skipped.ts";
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
