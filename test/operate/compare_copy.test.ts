import {
  type CheckedLine,
  checkLines,
  compareCopy,
  type CompareOptions,
  isSameStore,
} from "@messagedb/client/operate";
import { beforeEach, describe, expect, test } from "vitest";
import {
  drain,
  follow,
  importMessages,
  iterateAll,
  readStream,
  write,
  writeBatch,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

const from = useDatabase();
const to = useDatabase();

beforeEach(async () => {
  for (const { sql } of [from, to]) await sql`truncate message_store.messages restart identity`;
  for (let at = 0; at < 12; at++) {
    const message = { type: "Counted", data: { at }, metadata: { a: [at] } };
    await write(from.sql, `${at % 2 ? "account" : "order"}-${at % 3}`, message);
  }
});

/** What the pages say: small ones, so that nothing fits into one. */
async function compared(selection = "$all", options: CompareOptions = {}) {
  const differences: string[] = [];
  let last = { compared: 0, others: 0 };
  for await (const page of compareCopy(from.sql, to.sql, selection, { batchSize: 2, ...options })) {
    differences.push(
      ...page.differences.map(({ kind, streamName, position }) =>
        `${kind} ${streamName} ${position}`
      ),
    );
    last = page;
  }
  return { differences, compared: last.compared, others: last.others };
}

describe("compareCopy()", () => {
  test("says how far it came: not over a position that an open transaction may fill", async () => {
    await importMessages(to.sql, iterateAll(from.sql));
    const reached = async (options: CompareOptions = {}) => {
      const positions: number[] = [];
      for await (
        const page of compareCopy(from.sql, to.sql, "$all", { batchSize: 6, ...options })
      ) {
        positions.push(page.globalPosition);
      }
      return positions;
    };
    expect(await reached({ upTo: 0 })).toEqual([0, 0, 0]);
    const rollback = new Error("roll back");
    const transaction = from.connect({ max: 1 }).begin(async (tx) => {
      await write(tx, "open-1", { type: "Written" });
      await write(from.sql, "later-1", { type: "Written" });
      expect(await reached()).toEqual([6, 12, 12]);
      throw rollback;
    });
    await expect(transaction).rejects.toBe(rollback);
    expect((await reached()).at(-1)).toBe(14);
  });

  test("finds no difference in a copy whose positions are translated, and compares every message", async () => {
    const handle = () => {};
    await drain(from.sql, { category: "account", consumerId: "x", handle });
    const [first] = await readStream(from.sql, "account-0");
    await write(from.sql, "letter-1", follow(first!, { type: "Sent" }));
    await drain(from.sql, { category: "account", consumerId: "x", exclusive: true, handle });
    await to.sql`select setval('message_store.messages_global_position_seq', 40)`;
    await importMessages(to.sql, iterateAll(from.sql));
    const { differences, compared: count } = await compared();
    expect(differences).toEqual([]);
    expect(count).toBeGreaterThanOrEqual(14);
    expect(await compared("account")).toEqual({ differences: [], compared: 6, others: 0 });
    expect(await compared("account-1")).toEqual({ differences: [], compared: 2, others: 0 });
  });

  test("allows for positions that were left out, if it is told so", async () => {
    await drain(from.sql, { category: "account", consumerId: "x", handle: () => {} });
    await importMessages(to.sql, iterateAll(from.sql), { positions: "omit" });
    expect((await compared("$all", { positions: "omit" })).differences).toEqual([]);
    expect((await compared()).differences).toEqual([
      "missing account:position-x 0",
      "missing account:position-x 1",
    ]);
  });

  test.each([
    ["delete from message_store.messages where global_position = 5", ["missing order-1 0"]],
    [
      "delete from message_store.messages where global_position < 12",
      expect.objectContaining({ length: 11 }),
    ],
    [
      `update message_store.messages set data = '{"at":5}' where global_position = 5`,
      ["changed order-1 0"],
    ],
    [
      `update message_store.messages set metadata = '{"a":[4],"b":1}' where global_position = 5`,
      ["changed order-1 0"],
    ],
    ["update message_store.messages set metadata = null where global_position = 5", [
      "changed order-1 0",
    ]],
    ["update message_store.messages set type = 'Other' where global_position = 5", [
      "changed order-1 0",
    ]],
    [
      `update message_store.messages set time = time + interval '1 millisecond'
       where global_position = 5`,
      ["changed order-1 0"],
    ],
    ["update message_store.messages set position = 7 where global_position = 5", [
      "changed order-1 0",
    ]],
    [
      "update message_store.messages set stream_name = 'order-9' where global_position = 5",
      ["changed order-1 0"],
    ],
    [
      `insert into message_store.messages (stream_name, position, type, data, metadata, time)
       select stream_name, 2, type, data, metadata, time from message_store.messages
       where global_position = 5`,
      ["added order-1 2"],
    ],
  ])("notices what was done to the copy: %s", async (statement, expected) => {
    await importMessages(to.sql, iterateAll(from.sql));
    await to.sql.unsafe(statement);
    const { differences } = await compared();
    expect(differences).toEqual(expected);
    expect((await compared("$all", { batchSize: 1000 })).differences).toEqual(differences);
  });

  test("takes a copy whose streams came in another order, and the streams of others, for what they are", async () => {
    await writeBatch(to.sql, "other-1", Array.from({ length: 9 }, () => ({ type: "Other" })));
    const streams = ["order-2", "account-1", "order-0", "account-2", "account-0", "order-1"];
    for (const stream of streams) await importMessages(to.sql, await readStream(from.sql, stream));
    expect(await compared()).toEqual({ differences: [], compared: 12, others: 9 });
  });

  test("takes positions that a copy has lower, where the source has gaps, and no others", async () => {
    await from.sql`
      delete from message_store.messages
      where stream_name = 'order-1' and position = 0 or stream_name = 'account-1' and position = 1`;
    await writeBatch(from.sql, "order-1", Array.from({ length: 9 }, () => ({ type: "More" })));
    await from.sql`
      delete from message_store.messages where stream_name = 'order-1' and position in (4, 5, 7)`;
    await importMessages(to.sql, iterateAll(from.sql));
    expect((await compared()).differences).toEqual([]);
    await to.sql`
      update message_store.messages set position = 99 - position
      where stream_name = 'order-1' and position >= 5`;
    expect((await compared()).differences).toEqual(["changed order-1 9", "changed order-1 10"]);
  });

  test("compares up to the last message that was copied", async () => {
    await importMessages(to.sql, iterateAll(from.sql));
    await write(from.sql, "order-1", { type: "Later" });
    expect((await compared("$all", { upTo: 12 })).differences).toEqual([]);
    expect((await compared()).differences).toEqual(["missing order-1 2"]);
  });

  test("checks its arguments at once", () => {
    const comparing = (selection: unknown, options?: unknown) => () =>
      compareCopy(from.sql, to.sql, selection as never, options as never);
    expect(comparing("")).toThrow(TypeError);
    expect(comparing("a", { upTo: -1 })).toThrow(RangeError);
    expect(comparing("a", { batchSize: 0 })).toThrow(RangeError);
    expect(comparing("a", { positions: "keep" })).toThrow('"translate" or "omit"');
  });
});

test("isSameStore() knows a store by another role and connection, and tells it from its neighbour", async () => {
  const same = from.connect({ max: 1, connection: { role: "message_store" } });
  expect(await isSameStore(from.sql, same)).toBe(true);
  expect(await isSameStore(from.sql, to.sql)).toBe(false);
  await from.sql`set search_path to pg_catalog`;
  await expect(isSameStore(from.sql, from.connect({ max: 1, database: "postgres" })))
    .rejects.toMatchObject({ code: "NOT_INSTALLED" });
});

describe("checkLines()", () => {
  test("says of each line what an import would, with blank lines counted", async () => {
    const good = { id: crypto.randomUUID(), streamName: "a-1", type: "A", time: new Date() };
    const lines = ["", JSON.stringify(good), "{", "7", '{"id":"7","streamName":"a-1","type":"A"}'];
    const checked: CheckedLine[] = [];
    for await (const it of checkLines([...lines, `${lines[1]}\n`])) checked.push(it);
    expect(checked).toEqual([
      { line: 2, message: good, problem: null },
      { line: 3, message: null, problem: expect.stringMatching(/^it is not JSON: /) },
      { line: 4, message: null, problem: expect.stringMatching(/^Cannot use 7 as "message"/) },
      { line: 5, message: null, problem: expect.stringMatching(/"7".+UUID/) },
      { line: 6, message: good, problem: null },
    ]);
  });

  test("checks its argument at once", () => {
    expect(() => checkLines("a" as never)).toThrow('Cannot use "a" as "lines"');
    expect(() => checkLines(7 as never)).toThrow(TypeError);
  });
});
