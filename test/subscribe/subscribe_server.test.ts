import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import postgres from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Message, readStream, subscribe, write } from "../../mod.ts";
import { startEmbedded } from "../../src/database/embedded.ts";
import { install } from "../../src/database/install.ts";
import { freePort } from "../_free_port.ts";
import { until } from "../_until.ts";

// A server of its own, which is stopped and started again.
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "messagedb-subscribe-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("subscribe() goes on where it was after restarts of the server", async () => {
  const port = await freePort();
  const options = { dataDir: join(folder, "restarted"), port };
  let server = await startEmbedded(options);
  const connect = () => postgres(server.url, { fetch_types: false, onnotice: () => {}, max: 4 });
  const sql = connect();
  const own = connect();
  const stream = "account-1";
  const last = crypto.randomUUID();
  const errors: Record<string, unknown[]> = { [stream]: [], account: [], $all: [] };
  try {
    await install(own, { notify: true });
    let reading = 0;
    const follow = async (source: string) => {
      const seen: Message[] = [];
      const onRetry = (error: unknown) => errors[source]!.push(error);
      const messages = subscribe(sql, source, { batchSize: 10, notify: true, onRetry });
      for await (const message of messages) {
        if (seen.push(message) === 1) reading++;
        if (message.id === last) break;
      }
      return seen;
    };
    const all = Promise.all(Object.keys(errors).map(follow));
    all.catch(() => {});
    await write(own, stream, { type: "First" });
    await Promise.race([until(() => reading === 3), all]);

    let writing = true;
    let written = 1;
    const writer = (async () => {
      while (writing) {
        const message = { id: crypto.randomUUID(), type: "Written" };
        // The answer may be lost, too: written again, it is there once.
        for (let isWritten = false; !isWritten;) {
          isWritten = await write(own, stream, message).then(() => true, () => sleep(20, false));
        }
        written++;
      }
    })();
    for (let round = 0; round < 2; round++) {
      const before = written;
      const tried = Object.values(errors).map(({ length }) => length);
      await until(() => written > before + 50);
      await server.stop();
      await until(
        () => Object.values(errors).every(({ length }, at) => length > tried[at]!),
      );
      server = await startEmbedded(options);
    }
    const before = written;
    await until(() => written > before + 50);
    writing = false;
    await writer;
    await write(own, stream, { id: last, type: "Last" });
    const messages = await readStream(own, stream, { batchSize: 100_000 });
    expect(messages).toHaveLength(written + 1);
    for (const seen of await all) assert.deepEqual(seen, messages);
  } finally {
    await Promise.all([sql, own].map((handle) => handle.end({ timeout: 1 })));
    await server.stop();
  }
});
