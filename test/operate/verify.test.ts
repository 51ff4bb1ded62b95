import assert from "node:assert/strict";
import { type Finding, verify, type VerifyOptions } from "@messagedb/client/operate";
import { beforeEach, describe, expect, test } from "vitest";
import {
  aggregate,
  drain,
  follow,
  importMessages,
  iterateAll,
  readAll,
  replayParked,
  type Sql,
  write,
  writeBatch,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const other = useDatabase();

beforeEach(async () => {
  for (const { sql } of [db, other]) await sql`truncate message_store.messages restart identity`;
});

async function findingsOf(options?: VerifyOptions, sql: Sql = db.sql): Promise<Finding[]> {
  const all: Finding[] = [];
  for await (const { findings } of verify(sql, options)) all.push(...findings);
  return all;
}

/** The kinds of what is found, each with its stream and position. */
const brief = (findings: readonly Finding[]) =>
  findings.map(({ kind, streamName, position }) => `${kind} ${streamName} ${position}`);

/** What is found must be the same however many messages a page has. */
async function found(options?: VerifyOptions): Promise<string[]> {
  const whole = brief(await findingsOf(options));
  for (const batchSize of [1, 2, 7]) {
    assert.deepEqual(brief(await findingsOf({ ...options, batchSize })), whole);
  }
  return whole;
}

async function fill(): Promise<void> {
  for (let at = 0; at < 12; at++) {
    await write(db.sql, `account-${at % 3}`, { type: "Deposited" });
    if (at % 4 === 0) await db.sql`select nextval('message_store.messages_global_position_seq')`;
  }
}

const at = (stream: string, position: number) =>
  db.sql`stream_name = ${stream} and position = ${position}`;

async function remove(stream: string, ...positions: number[]): Promise<void> {
  for (const position of positions) {
    await db.sql`delete from message_store.messages where ${at(stream, position)}`;
  }
}

async function globalPositionOf(stream: string, position: number): Promise<number> {
  const [row] = await db
    .sql`select global_position::int as at from message_store.messages where ${
    at(stream, position)
  }`;
  return row!["at"];
}

describe("verify()", () => {
  test("finds nothing in a store that is right, with consumers, aggregates and a copy of it", async () => {
    await fill();
    const consumer = { category: "account", consumerId: "x", onError: "park" } as const;
    await drain(db.sql, { ...consumer, handle: () => "park" as const });
    await replayParked(db.sql, { ...consumer, handle() {} });
    await drain(db.sql, { category: "$all", consumerId: "x", handle() {} });
    const ledger = { name: "ledger", from: ["account"], partition: () => 0 };
    await aggregate(db.sql, ledger, { once: true });
    await write(db.sql, "a%_\\'\"語:x+y-%_\\'\"", { type: "A" });
    await write(db.sql, "account:position-mine", { type: "Recorded", data: { position: "7" } });
    await write(db.sql, "account:position-mine", { type: "Recorded", data: [1] });
    await write(db.sql, "account:position-mine", {
      type: "Recorded",
      data: { position: 9e9, a: 1 },
    });
    await write(db.sql, "ledger:position-none", { type: "Recorded", data: { position: 0 } });
    assert.deepEqual(await found(), []);
    await importMessages(other.sql, iterateAll(db.sql));
    assert.deepEqual(await findingsOf({}, other.sql), []);
  });

  test("yields pages with how far it has come, and goes on at any of them", async () => {
    await fill();
    await remove("account-1", 1);
    const pages = [];
    for await (const page of verify(db.sql, { batchSize: 4 })) pages.push(page);
    const all = await readAll(db.sql);
    assert.deepEqual(pages.map(({ checked, next, head }) => [checked, next, head]), [
      [4, all[3]!.globalPosition + 1, all.at(-1)!.globalPosition],
      [8, all[7]!.globalPosition + 1, all.at(-1)!.globalPosition],
      [11, all[10]!.globalPosition + 1, all.at(-1)!.globalPosition],
    ]);
    const position = pages[0]!.next;
    const rest = brief(await findingsOf({ position, batchSize: 4 }));
    assert.deepEqual(rest, brief(pages.slice(1).flatMap(({ findings }) => findings)));
    const empty = [];
    for await (const page of verify(other.sql)) empty.push(page);
    assert.deepEqual(empty, [{ findings: [], checked: 0, next: 1, head: 0 }]);
  });

  test("tells positions that were deleted from those that were left out", async () => {
    await fill();
    await remove("account-0", 0, 1);
    await remove("account-1", 2);
    await db.sql`
      update message_store.messages set position = position + 5 where ${at("account-2", 3)}`;
    const findings = await findingsOf();
    assert.deepEqual(findings.map(({ kind, text }) => [kind, text]), [
      [
        "deleted",
        '"account-0" has no messages at the positions 0 to 1: they seem to have been deleted',
      ],
      [
        "deleted",
        '"account-1" has no messages at the positions 2 to 2: they seem to have been deleted',
      ],
      [
        "gap",
        '"account-2" has no messages at the positions 3 to 7, and nothing was deleted there',
      ],
    ]);
    assert.deepEqual(await found(), [
      "deleted account-0 2",
      "deleted account-1 3",
      "gap account-2 8",
    ]);
    assert.equal(findings[2]!.globalPosition, await globalPositionOf("account-2", 8));
  });

  test("finds messages whose global order is not that of their stream", async () => {
    await fill();
    const high = await globalPositionOf("account-1", 3);
    const low = await globalPositionOf("account-1", 1);
    await db.sql`
      update message_store.messages set global_position = -1 where ${at("account-1", 3)}`;
    await db.sql`
      update message_store.messages set global_position = ${high} where ${at("account-1", 1)}`;
    await db.sql`
      update message_store.messages set global_position = ${low} where ${at("account-1", 3)}`;
    assert.deepEqual(await found(), ["order account-1 3", "order account-1 2"]);
    const [finding] = await findingsOf();
    assert.equal(
      finding!.text,
      `"account-1" has position 3 at the global position ${low}, before position 2 at ` +
        `${await globalPositionOf("account-1", 2)}`,
    );
  });

  test("finds positions that nobody reads", async () => {
    await fill();
    await db.sql`update message_store.messages set position = -1 where ${at("account-1", 0)}`;
    await db.sql`update message_store.messages set global_position = -7 where ${
      at("account-2", 0)
    }`;
    assert.deepEqual(await found(), [
      "position account-2 0",
      "position account-1 -1",
      "deleted account-1 1",
    ]);
  });

  test("finds names that cannot be read back, and no other", async () => {
    const names = ["-1", "account-", "$all", "$all-1", "account", "a--", "a-b-", "$allx-1"];
    for (const name of [...names, ""]) {
      await db.sql`
        insert into message_store.messages (stream_name, position, type) values (${name}, 0, 'A')`;
    }
    assert.deepEqual(await found(), [
      "name -1 0",
      "name account- 0",
      "name $all 0",
      "name $all-1 0",
      "name  0",
    ]);
    const [{ text }] = await findingsOf() as [Finding];
    assert.equal(text, '"-1" is a name that cannot be read back');
  });

  test("finds references of aggregates that do not resolve", async () => {
    await fill();
    await aggregate(db.sql, { name: "ledger", from: ["account"], partition: () => 0 }, {
      once: true,
    });
    const [first] = await readAll(db.sql);
    await write(
      db.sql,
      "b-1",
      follow({ ...first!, globalPosition: 999 }, { type: "No reference" }),
    );
    await remove("account-0", 0);
    const moved = await globalPositionOf("account-1", 0);
    await db.sql`update message_store.messages set type = 'Other' where ${at("account-1", 0)}`;
    for (const [position, cause] of [[4, "x"], [5, 1e20], [6, -1]] as const) {
      await db.sql`
        update message_store.messages
        set metadata = metadata || ${db.sql.json({ causationMessageGlobalPosition: cause })}
        where ${at("ledger-0", position)}`;
    }
    const texts = (await findingsOf()).filter(({ kind }) => kind === "reference")
      .map(({ text }) => text);
    assert.deepEqual(texts, [
      '"ledger-0" refers at position 0 to the global position 1, where there is no message',
      `"ledger-0" refers at position 1 to the global position ${moved}, where there is another message`,
      '"ledger-0" refers at position 4 to the global position x, where there is no message',
      '"ledger-0" refers at position 5 to the global position 100000000000000000000, where there is no ' +
      "message",
      '"ledger-0" refers at position 6 to the global position -1, where there is no message',
    ]);
    assert.equal((await found({ category: "ledger" })).length, 5);
  });

  test("finds recorded positions beyond the messages that there were", async () => {
    await fill();
    const record = (name: string, position: number) =>
      write(db.sql, name, { type: "Recorded", data: { position } });
    await record("account:position-fixed", 1e6);
    await record("account:position-fixed", 3);
    await record("account:position-beyond", 1e6);
    await record("account:command+position-x+0+2", 1e6);
    await record("$all:position-x", 1e6);
    await record("ledger:aggregate-ledger", 1e6);
    await write(db.sql, "account:parked-x", { type: "Parked" });
    await record("account:position-x+parked", 1);
    await record("account:position-y+parked", 1);
    await db.sql`
      update message_store.messages set data = '{"position": 1e30}'
      where stream_name = '$all:position-x'`;
    assert.deepEqual(await found(), [
      "beyond account:position-beyond 0",
      "beyond account:command+position-x+0+2 0",
      "beyond $all:position-x 0",
      "beyond ledger:aggregate-ledger 0",
      "beyond account:position-y+parked 0",
    ]);
    const [{ text, globalPosition }] = await findingsOf() as [Finding];
    assert.equal(
      text,
      `"account:position-beyond" records the position 1000000, beyond ${globalPosition! - 1}, ` +
        "where messages ended when it was written",
    );
  });

  test("finds the positions that a copy made of a store by SQL has kept", async () => {
    await db.sql`select setval('message_store.messages_global_position_seq', 500)`;
    await fill();
    await drain(db.sql, { category: "account", consumerId: "x", handle() {} });
    for (const { streamName, position, type, data } of await readAll(db.sql)) {
      await other.sql`
        insert into message_store.messages (stream_name, position, type, data)
        values (${streamName}, ${position}, ${type}, ${other.sql.json(data as never)})`;
    }
    const kinds = (await findingsOf({}, other.sql)).map(({ kind }) => kind);
    assert.deepEqual(kinds, ["beyond"]);
  });

  test("finds a sequence that is behind the table", async () => {
    await fill();
    await db.sql`select setval('message_store.messages_global_position_seq', 3)`;
    const head = (await readAll(db.sql)).at(-1)!.globalPosition;
    const [finding, ...more] = await findingsOf({ batchSize: 5 });
    assert.deepEqual([finding, more], [{
      kind: "sequence",
      streamName: null,
      position: null,
      globalPosition: null,
      text: `The sequence is at 3, and the table at ${head}: writes will fail`,
    }, []]);
    await db.sql`alter sequence message_store.messages_global_position_seq restart`;
    assert.deepEqual((await findingsOf()).map(({ kind }) => kind), ["sequence"]);
  });

  test("verifies a category alone", async () => {
    await fill();
    await writeBatch(db.sql, "a%_\\'\"語-1", [{ type: "A" }, { type: "B" }, { type: "C" }]);
    await remove("a%_\\'\"語-1", 1);
    await remove("account-1", 1);
    assert.deepEqual(await found({ category: "account" }), ["deleted account-1 2"]);
    assert.deepEqual(await found({ category: "a%_\\'\"語" }), ["deleted a%_\\'\"語-1 2"]);
    assert.deepEqual(await found({ category: "none" }), []);
  });

  test("raises no false alarm beside writers, and takes no lock", async () => {
    const stop = new AbortController();
    const writing = Promise.all(
      Array.from({ length: 4 }, async (_, writer) => {
        const sql = db.connect({ max: 1 });
        for (let at = 0; at < 60 && !stop.signal.aborted; at++) {
          await sql.begin(async (sql) => {
            await write(sql, `account-${at % 5}`, { type: "A" });
            await write(sql, `other${writer}-1`, { type: "B" });
            if (at % 7 === 0) throw new Error("rolled back");
          }).catch((error) => assert.match(error.message, /rolled back|deadlock/));
        }
      }),
    );
    let isDone = false;
    void writing.finally(() => isDone = true);
    while (!isDone) assert.deepEqual(await findingsOf({ batchSize: 37 }), []);
    await writing;
    assert.deepEqual(await findingsOf(), []);
    stop.abort();
  });

  test("works for a role that may only read, and leaves its session as it was", async () => {
    await fill();
    const sql = db.connect({ max: 1 });
    await sql`set role message_store`;
    await sql`set search_path = public`;
    assert.deepEqual(await findingsOf({}, sql), []);
    const [row] = await sql`
      select current_setting('search_path') as path, current_setting('enable_sort') as sort`;
    assert.deepEqual({ ...row }, { path: "public", sort: "on" });
  });

  test("checks its arguments at once", () => {
    const verifying = (options: unknown) => () => verify(db.sql, options as never);
    expect(verifying(7)).toThrow(TypeError);
    expect(verifying({ category: "account-1" })).toThrow('as "category"');
    expect(verifying({ category: "$all" })).toThrow(TypeError);
    expect(verifying({ position: -1 })).toThrow(RangeError);
    expect(verifying({ batchSize: 0 })).toThrow(RangeError);
  });
});

describe("verify() without an index", () => {
  test("finds that, and duplicates, which the index would have refused", async () => {
    const sql = other.connect({ max: 1 });
    await writeBatch(sql, "a-1", [{ type: "A" }, { type: "B" }, { type: "C" }]);
    const kinds = async () =>
      (await findingsOf({ batchSize: 2 }, sql)).map(({ kind, text }) => `${kind}: ${text}`);
    const index = (name: string) =>
      `index: The index "${name}" is missing, is not valid or is not unique: what it is for is not ` +
      "verified";
    await sql`drop index message_store.messages_stream`;
    assert.deepEqual(await kinds(), [index("messages_stream")]);
    await sql`update message_store.messages set position = 1 where position = 2`;
    await sql`create index messages_stream on message_store.messages (stream_name, position)`;
    assert.deepEqual(await kinds(), [
      index("messages_stream"),
      'duplicate: "a-1" at position 1, at the global position 2, has the same position as the message at ' +
      "the global position 3",
      'duplicate: "a-1" at position 1, at the global position 3, has the same position as the message at ' +
      "the global position 2",
    ]);
    await sql`update message_store.messages set position = 2 where global_position = 3`;
    await sql`drop index message_store.messages_stream`;
    await sql`create unique index messages_stream on message_store.messages (stream_name, position)`;
    await sql`drop index message_store.messages_id`;
    await sql`create index messages_id on message_store.messages (id)`;
    await sql`
      update message_store.messages
      set id = (select id from message_store.messages where position = 0)
      where position = 2`;
    assert.deepEqual(await kinds(), [
      index("messages_id"),
      'duplicate: "a-1" at position 0, at the global position 1, has the same id as the message at the ' +
      "global position 3",
      'duplicate: "a-1" at position 2, at the global position 3, has the same id as the message at the ' +
      "global position 1",
    ]);
    await sql`drop index message_store.messages_category`;
    await sql`alter table message_store.messages drop constraint messages_pkey`;
    await sql`update message_store.messages set global_position = 2 where position = 2`;
    const found = await kinds();
    assert.deepEqual(
      found.slice(0, 3),
      ["messages_pkey", "messages_id", "messages_category"].map(index),
    );
    const same = await findingsOf({}, sql);
    assert(same.some(({ text }) => /same global position/.test(text)), JSON.stringify(same));
  });
});
