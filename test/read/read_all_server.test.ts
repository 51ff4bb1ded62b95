import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { afterAll, beforeAll, test } from "vitest";
import { startEmbedded } from "../../src/database/embedded.ts";
import { readAll, write } from "../../mod.ts";

// What a setting of the server has to be changed for, which only a start puts into force.
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "messagedb-read-all-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function withServer(
  dataDir: string,
  run: (sql: postgres.Sql) => Promise<void>,
) {
  const server = await startEmbedded({ dataDir });
  const sql = postgres(server.url, { onnotice: () => {} });
  try {
    await run(sql);
  } finally {
    await sql.end();
    await server.stop();
  }
}

test("readAll() waits for a transaction that was prepared while it looked", async () => {
  const dataDir = join(folder, "primary");
  await withServer(dataDir, async (sql) => {
    await sql`alter system set max_prepared_transactions = 5`;
  });
  await withServer(dataDir, async (sql) => {
    const writer = await sql.reserve();
    await writer`begin`;
    await write(writer, "prepared-1", { type: "Written" });
    await write(sql, "behind-1", { type: "Written" });

    // Between the first look at the writers, which sees the session, and the next, which does not.
    let prepared = false;
    const reading: typeof sql = new Proxy(sql, {
      apply: async (target, self, [strings, ...parameters]) => {
        const rows = await Reflect.apply(target, self, [
          strings,
          ...parameters,
        ]);
        if (!prepared && strings.join("").includes("pg_locks")) {
          prepared = true;
          await writer`prepare transaction 'later'`;
        }
        return rows;
      },
    });
    assert.deepEqual(await readAll(reading), []);
    assert.ok(prepared);
    assert.deepEqual(await readAll(sql), []);
    await sql`commit prepared 'later'`;
    assert.deepEqual((await readAll(sql)).map(({ streamName }) => streamName), [
      "prepared-1",
      "behind-1",
    ]);
    writer.release();

    // For the next test: a position that was taken and will never be used.
    await sql`select nextval('message_store.messages_global_position_seq')`;
    await write(sql, "after-1", { type: "Written" });
    assert.equal((await readAll(sql)).length, 3);
  });

  const standby = join(folder, "standby");
  execFileSync("cp", ["-a", dataDir, standby]);
  await writeFile(join(standby, "postgres", "data", "standby.signal"), "");
  await withServer(standby, async (sql) => {
    const [row] = await sql`select pg_is_in_recovery() as standby`;
    assert.equal(row!.standby, true);
    // On a standby nobody can tell whether a writer of the primary is still at work.
    assert.equal((await readAll(sql, { batchSize: 2 })).length, 2);
    const standby = { name: "ReplicaReadError", code: "REPLICA_READ", reason: "standby" };
    await assert.rejects(readAll(sql), standby);
    await assert.rejects(readAll(sql, { position: 3 }), standby);
  });
});
