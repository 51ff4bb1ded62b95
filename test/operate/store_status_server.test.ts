import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storeStatus } from "@messagedb/client/operate";
import postgres from "postgres";
import { test } from "vitest";
import { write } from "../../mod.ts";
import { startEmbedded } from "../../src/database/embedded.ts";
import { install } from "../../src/database/install.ts";
import { until } from "../_until.ts";

test("storeStatus() tells of a prepared transaction, also after the server was started again", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "messagedb-status-"));
  let server = await startEmbedded({ dataDir });
  let sql = postgres(server.url, { onnotice: () => {}, max: 2 });
  const restart = async () => {
    await sql.end();
    await server.stop();
    server = await startEmbedded({ dataDir });
    sql = postgres(server.url, { onnotice: () => {}, max: 2 });
  };
  try {
    await install(sql);
    await sql`alter system set max_prepared_transactions = 5`;
    await restart();
    await write(sql, "account-1", { type: "A" });
    const name = "for'got\"ten";
    const connection = await sql.reserve();
    await connection`begin`;
    await write(connection, "account-1", { type: "A" });
    await connection.unsafe(`prepare transaction 'for''got"ten'`);
    connection.release();
    for (const isRestarted of [false, true]) {
      if (isRestarted) await restart();
      await until(async () => (await storeStatus(sql)).transactions.length > 0);
      const [{ age, ...found } = { age: null }, ...others] = (await storeStatus(sql)).transactions;
      assert.deepEqual(others, []);
      assert(age! >= 1000);
      assert.deepEqual(found, {
        pid: null,
        prepared: name,
        user: "postgres",
        applicationName: null,
        state: null,
        holdsAll: true,
        categories: ["account"],
        waiting: 0,
      });
    }
  } finally {
    await sql.end();
    await server.stop();
    await rm(dataDir, { recursive: true });
  }
});
