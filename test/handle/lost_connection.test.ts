import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "vitest";
import {
  aggregate,
  drain,
  groupCommit,
  messageStoreVersion,
  readAll,
  readCategory,
  readStream,
  streamVersion,
  write,
  writeBatch,
} from "../../mod.ts";
import { useProxy } from "../_proxy.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

/** Writes until the write is answered; at once again if the connection is lost. */
async function writeAtOnce(
  send: (message: { id: string; type: string }) => Promise<number>,
): Promise<number> {
  const message = { id: randomUUID(), type: "Written" };
  for (;;) {
    try {
      return await send(message);
    } catch (error) {
      isLost(error);
    }
  }
}

function isLost(error: unknown): void {
  const { code } = error as { code?: string };
  assert.match(String(code), /^(CONNECTION_CLOSED|ECONNRESET|CONNECT_TIMEOUT)$/);
}

// A reset while postgres.js fetches types may end the process.
describe("with postgres.js", () => {
  const options = { fetch_types: false };

  test("every write of loops that send again at once is answered", async () => {
    const proxy = await useProxy(db.url);
    const sql = db.connect({ ...options, port: Number(new URL(proxy.url).port), max: 2 });
    const category = `again${randomUUID().slice(0, 8)}`;
    await Promise.all([1, 2].map(async (writer) => {
      for (let position = 0; position < 10; position++) {
        void proxy.next("answer", (link) => link.reset());
        const written = await writeAtOnce((it) => write(sql, `${category}-${writer}`, it));
        assert.equal(written, position);
      }
    }));
    assert.equal((await readCategory(db.sql, category)).length, 20);
  });

  test.each([1, 4])(
    "of %i connections, each statement is answered that is sent while one of them breaks",
    async (max) => {
      const proxy = await useProxy(db.url);
      const sql = db.connect({ ...options, port: Number(new URL(proxy.url).port), max });
      const streams = Array.from({ length: 3 }, () => `turns${randomUUID().slice(0, 8)}-1`);
      for (const [version, stream] of streams.entries()) {
        await writeBatch(sql, stream, Array(version + 1).fill({ type: "Written" }));
      }
      for (let times = 0; times < 10; times++) {
        const reset = proxy.next("answer", (link) => link.reset());
        const answers: Promise<void>[] = [];
        // In each turn of the event loop, between the "error" of a socket and its "close", too.
        const isReset = reset.then(() => true);
        for (let turns = Infinity; turns > 0; turns--) {
          const version = answers.length % streams.length;
          const asked = streamVersion(sql, streams[version]!);
          answers.push(asked.then((it) => assert.equal(it, version), isLost));
          await new Promise(setImmediate);
          const hasBroken = await Promise.race([isReset, false]);
          if (hasBroken && turns === Infinity) turns = 20;
        }
        await Promise.all(answers);
      }
    },
  );

  test("the next statement of groupCommit() is answered", async () => {
    const proxy = await useProxy(db.url);
    const sql = db.connect({ ...options, port: Number(new URL(proxy.url).port), max: 1 });
    const stream = `group${randomUUID().slice(0, 8)}-1`;
    const writeGrouped = groupCommit(sql);
    await writeGrouped(stream, { type: "First" });
    const reset = proxy.next("answer", (link) => link.reset());
    const lost = assert.rejects(writeGrouped(stream, { type: "Lost" }), { code: "ECONNRESET" });
    await reset;
    // It waits for the statement before it.
    const next = writeGrouped(stream, { type: "Next" });
    await lost;
    await next;
    await writeGrouped(stream, { type: "Last" });
    const types = (await readStream(db.sql, stream)).map(({ type }) => type);
    assert.deepEqual(types.filter((type) => type !== "Lost"), ["First", "Next", "Last"]);
  });
});

describe("a truncated answer", () => {
  /** A handle over a proxy, whose connection has been used. */
  async function open() {
    const proxy = await useProxy(db.url);
    const port = Number(new URL(proxy.url).port);
    const sql = db.connect({ port, max: 1, fetch_types: false });
    const stream = `hole${randomUUID().slice(0, 8)}-1`;
    await write(sql, stream, { type: "First" });
    return { proxy, sql, stream };
  }

  test.each([1, 8, 20, 60])("of %i bytes less leaves the next answer as it is", async (missing) => {
    const { proxy, sql, stream } = await open();
    const category = stream.slice(0, -2);
    const operations = [
      () => write(sql, stream, { type: "Next" }),
      () => readStream(sql, stream),
      () => readCategory(sql, category),
      () => readAll(sql),
      () => streamVersion(sql, stream),
      () => drain(sql, { category, consumerId: "hole", handle() {} }),
      () =>
        aggregate(sql, { name: `${category}A`, from: [category], partition: () => 0 }, {
          once: true,
        }),
      () => messageStoreVersion(sql),
    ];
    for (const operation of operations) {
      const truncated = proxy.next("answer", (link, bytes) => {
        link.truncate(bytes, bytes.length - missing);
      }, "SELECT ");
      await assert.rejects(readStream(sql, stream), { code: "CONNECTION_CLOSED" });
      await truncated;
      await operation();
    }
    assert.equal(await write(sql, `${category}-2`, { type: "Next" }), 0);
  });
});

describe("with fetch_types: false", () => {
  test("a server that is starting up ends no process", async () => {
    const proxy = await useProxy(db.url);
    const port = Number(new URL(proxy.url).port);
    const fields = "SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
    const answer = Buffer.alloc(5 + fields.length);
    answer.write("E", 0);
    answer.writeInt32BE(4 + fields.length, 1);
    answer.write(fields, 5, "latin1");
    const sql = db.connect({ port, max: 1, fetch_types: false });
    const cut = proxy.next("request", (link) => link.cut(), "write_message");
    const refused = cut.then(() =>
      proxy.next("answer", (link) => link.truncate(answer, answer.length))
    );
    const stream = `starting${randomUUID().slice(0, 8)}-1`;
    const codes: unknown[] = [];
    for (let isWritten = false; !isWritten;) {
      try {
        await write(sql, stream, { type: "Written" });
        isWritten = true;
      } catch (error) {
        codes.push((error as { code?: unknown }).code);
      }
    }
    await Promise.all([cut, refused]);
    assert.deepEqual(codes, ["CONNECTION_CLOSED", "57P03"]);
  });
});
