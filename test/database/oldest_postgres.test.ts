import assert from "node:assert/strict";
import postgres from "postgres";
import { afterAll, beforeAll, describe, test } from "vitest";
import { install } from "../../src/database/install.ts";
import { describeSkipped } from "../_describe_skipped.ts";
import { everyStatement } from "../_every_statement.ts";
import { hasOldest, startOldest } from "../_oldest_postgres.ts";

const title = "on PostgreSQL 12";

if (!hasOldest) describeSkipped(title, "npm has its binaries for Linux on x64 only");
else {
  describe(title, () => {
    let server: Awaited<ReturnType<typeof startOldest>>;
    let sql: postgres.Sql;

    beforeAll(async () => {
      server = await startOldest();
      const owner = postgres(server.url, { max: 1, onnotice: () => {} });
      await install(owner, { notify: true, nameIndex: true });
      await owner`grant delete on message_store.messages to message_store`;
      await owner.end();
      const connection = { role: "message_store", "message_store.sql_condition": "on" };
      sql = postgres(server.url, { max: 4, fetch_types: false, connection });
    });
    afterAll(async () => {
      await sql?.end();
      await server?.stop();
    });

    test("the server is of that version", async () => {
      const [row] = await sql`show server_version_num`;
      assert.match(row!.server_version_num, /^12/);
    });

    for (const [name, operation] of Object.entries(everyStatement)) {
      test(name, () => operation(sql));
    }
  });
}
