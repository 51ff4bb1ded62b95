import assert from "node:assert/strict";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pipeline } from "node:stream/promises";
import { exportMessages } from "@messagedb/client/operate";
import { fetchSql } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import fc from "fast-check";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import {
  drain,
  importMessages,
  type Message,
  readAll,
  readCategory,
  readStream,
  write,
  writeBatch,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

const from = useDatabase();
const to = useDatabase();

beforeEach(async () => {
  for (const { sql } of [from, to]) await sql`truncate message_store.messages restart identity`;
});

async function linesOf(lines: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = [];
  for await (const line of lines) all.push(line);
  return all;
}

const withoutPlace = ({ globalPosition: _, ...message }: Message) => message;

describe("exportMessages()", () => {
  test("makes a line of each message: of all streams, a category, a stream", async () => {
    for (const name of ["account-1", "account-2", "other-1", "a%_\\'\"語:x+y-1"]) {
      await writeBatch(from.sql, name, [
        { type: "A", data: { "\n": "\u2028\r\n", n: null, f: 0.1 }, metadata: { a: [1] } },
        { type: "B" },
      ]);
    }
    const sql = from.sql;
    for (
      const [selection, messages] of [
        ["$all", await readAll(sql)],
        ["account", await readCategory(sql, "account")],
        ["a%_\\'\"語:x+y", await readCategory(sql, "a%_\\'\"語:x+y")],
        ["account-1", await readStream(sql, "account-1")],
        ["none", []],
      ] as const
    ) {
      const lines = await linesOf(exportMessages(sql, selection, { batchSize: 3 }));
      assert.equal(lines.join("").split(/[\n\r\u2028\u2029]/).length, messages.length + 1);
      assert.deepEqual(lines.map((it) => JSON.parse(it)), JSON.parse(JSON.stringify(messages)));
    }
    const part = await linesOf(exportMessages(sql, "account-1", { position: 1 }));
    assert.deepEqual(part.map((it) => JSON.parse(it).type), ["B"]);
    const rest = await linesOf(exportMessages(sql, "$all", { position: 3 }));
    assert.equal(rest.length, 6);
  });

  test("through a file, a store is copied, and its consumers go on", async () => {
    const folder = await mkdtemp(join(tmpdir(), "export-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, "store.ndjson");
    await from.sql`select setval('message_store.messages_global_position_seq', 40)`;
    for (let at = 0; at < 30; at++) {
      await write(from.sql, `account-${at % 5}`, { type: "D", data: at });
    }
    const consumer = { category: "account", consumerId: "balances" };
    const seen: unknown[] = [];
    const handle = ({ data }: Message) => void seen.push(data);
    await drain(from.sql, { ...consumer, handle }, { limit: 20 });
    await pipeline(exportMessages(from.sql, "$all"), createWriteStream(file));
    for (const written of [await readAll(from.sql).then(({ length }) => length), 0]) {
      const lines = createInterface({ input: createReadStream(file) });
      const imported = await importMessages(to.sql, lines);
      assert.equal(imported.written, written);
    }
    const account = async (sql: typeof from.sql) =>
      (await readCategory(sql, "account")).map(withoutPlace);
    assert.deepEqual(await account(to.sql), await account(from.sql));
    await drain(to.sql, { ...consumer, handle });
    assert.deepEqual(seen, Array.from({ length: 30 }, (_, at) => at));
  });

  test("brings back any JSON that JavaScript holds, and a greater number as JavaScript reads it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (data) => {
        for (const { sql } of [from, to]) await sql`truncate message_store.messages`;
        try {
          await write(from.sql, "a-1", { type: "A", data, metadata: { data } });
        } catch (error) {
          assert(error instanceof TypeError);
          return;
        }
        await importMessages(to.sql, exportMessages(from.sql, "$all"));
        const [one, two] = [await readAll(from.sql), await readAll(to.sql)];
        assert.deepEqual(two.map(withoutPlace), one.map(withoutPlace));
      }),
      { numRuns: 50 },
    );
    await from.sql`truncate message_store.messages`;
    await from.sql`
      insert into message_store.messages (stream_name, position, type, data)
      values ('a-1', 0, 'A', '{"n": 12345678901234567890}')`;
    const [line] = await linesOf(exportMessages(from.sql, "$all"));
    assert.match(line!, /"n":12345678901234567000/);
  });

  test("loses no message beside writers that commit late", async () => {
    await write(from.sql, "a-1", { type: "First" });
    let lines: Promise<string[]> | undefined;
    await from.connect({ max: 1 }).begin(async (sql) => {
      await write(sql, "b-1", { type: "Late" });
      await write(from.sql, "c-1", { type: "Early" });
      lines = linesOf(exportMessages(from.sql, "$all"));
      await write(from.sql, "c-1", { type: "Early" });
    });
    const types = (await lines!).map((it) => JSON.parse(it).type);
    assert.deepEqual(types.slice(0, 3), ["First", "Late", "Early"]);
  });

  test("ends when the caller has enough, and works through a gateway", async () => {
    await writeBatch(from.sql, "a-1", Array.from({ length: 50 }, () => ({ type: "A" })));
    const handle = gateway(from.sql, { authorize: () => true });
    const sql = fetchSql("http://gateway/sql", {
      fetch: (url, init) => handle(new Request(url, init)),
    });
    let count = 0;
    for await (const _ of exportMessages(sql, "a", { batchSize: 5 })) if (++count === 7) break;
    assert.equal(count, 7);
  });

  test("checks its arguments at once", () => {
    const exporting = (selection: unknown, options?: unknown) => () =>
      exportMessages(from.sql, selection as never, options as never);
    expect(exporting("")).toThrow(TypeError);
    expect(exporting(7)).toThrow('Cannot use 7 as "selection"');
    expect(exporting("a", 7)).toThrow(TypeError);
    expect(exporting("a", { position: -1 })).toThrow(RangeError);
    expect(exporting("a", { batchSize: 0 })).toThrow(RangeError);
  });
});
