import { PGlite } from "@electric-sql/pglite";
import { pgcrypto } from "@electric-sql/pglite/contrib/pgcrypto";
import { readdirSync, readFileSync } from "node:fs";
import type { Environment } from "./environment.ts";

const database = new URL("database/", import.meta.resolve("@eventide/message-db/package.json"));

// The order of Message DB's own install.sh.
const parts = [
  "roles",
  "schema",
  "extensions",
  "tables",
  "types",
  "functions",
  "indexes",
  "views",
  "privileges",
];

/** A store in memory, behind the one session that PGlite has: what runs at once is queued. */
export async function connect(): Promise<Environment> {
  const db = await PGlite.create({ extensions: { pgcrypto } });
  const bare = await PGlite.create();
  await db.exec("set search_path to message_store, public; ");
  for (const part of parts) {
    const directory = new URL(`${part}/`, database);
    for (const file of readdirSync(directory)) {
      await db.exec(readFileSync(new URL(file, directory), "utf8"));
    }
  }
  await db.exec("reset search_path");
  return {
    sql: db.sql.bind(db),
    bare: bare.sql.bind(bare),
    begin: (work) => db.transaction((transaction) => work(transaction.sql)),
    close: async () => {
      await Promise.all([db.close(), bare.close()]);
    },
  };
}
