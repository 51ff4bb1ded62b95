import assert from "node:assert/strict";
import { beforeAll, describe, test } from "vitest";
import {
  cardinalId,
  categories,
  entityIds,
  type Message,
  messageStoreVersion,
  readCategory,
  type ReadCategoryOptions,
  readMatching,
  streamNames,
  write,
  writeStreams,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

beforeAll(async () => {
  await writeStreams(
    db.sql,
    Array.from({ length: 40 }, (_, at) => ({
      streamName: `account-${at}+${at % 3}`,
      messages: [
        { type: "Opened", data: at },
        {
          type: "Moved",
          metadata: { correlationStreamName: `transfer${at % 2}-${at}` },
        },
      ],
    })),
  );
  for (
    const name of [
      "account:command-1",
      "account:snapshot-1",
      "account:position-x",
      "accounts-1",
    ]
  ) {
    await write(db.sql, name, { type: "Other" });
  }
});

const read = (options: ReadCategoryOptions = {}) => readCategory(db.sql, "account", options);
const globals = (messages: readonly Message[]) =>
  messages.map(({ globalPosition }) => globalPosition);

describe("readCategory()", () => {
  test("reads the streams of one category, in the order of global positions", async () => {
    const messages = await read();
    assert.equal(messages.length, 80);
    assert.ok(
      messages.every(({ streamName }) => streamName.startsWith("account-")),
    );
    assert.deepEqual(
      globals(messages),
      globals(messages).sort((a, b) => a - b),
    );
  });

  test("starts at the global position, which is included, and reads a batch", async () => {
    const all = await read();
    assert.deepEqual(
      await read({ position: 11, batchSize: 4 }),
      all.slice(10, 14),
    );
    assert.deepEqual(
      await read({ position: 0, batchSize: 1 }),
      all.slice(0, 1),
    );
    assert.deepEqual(await read({ position: 81 }), []);
  });

  test("reads backward what it reads forward, whatever else is asked for", async () => {
    const sql = db.connect({
      connection: { "message_store.sql_condition": "on" },
    });
    for (
      const options of [
        {},
        { correlation: "transfer1" },
        { consumerGroup: { member: 1, size: 3 } },
        { correlation: "transfer0", consumerGroup: { member: 0, size: 2 } },
        { condition: "position = 1" },
        {
          condition: "position = 1",
          correlation: "transfer1",
          consumerGroup: { member: 1, size: 2 },
        },
      ]
    ) {
      const forward = await readCategory(sql, "account", options);
      assert.ok(forward.length > 0);
      const backward = { ...options, direction: "backward" } as const;
      assert.deepEqual(
        await readCategory(sql, "account", backward),
        forward.toReversed(),
      );
      const position = forward.at(-3)!.globalPosition;
      assert.deepEqual(
        await readCategory(sql, "account", {
          ...backward,
          position,
          batchSize: 2,
        }),
        forward.toReversed().slice(2, 4),
      );
    }
  });

  test("reads what is correlated with a category", async () => {
    const messages = await read({ correlation: "transfer1" });
    assert.equal(messages.length, 20);
    for (const { metadata } of messages) {
      assert.match(metadata!.correlationStreamName!, /^transfer1-/);
    }
  });

  test("gives every stream to one member of a consumer group, by its cardinal id", async () => {
    const all = globals(await read());
    for (const size of [1, 2, 5, 32767]) {
      const members = Array.from(
        { length: Math.min(size, 6) },
        (_, member) => member,
      );
      const shares = await Promise.all(
        members.map((member) => read({ consumerGroup: { member, size } })),
      );
      const owner = new Map<string | null, number>();
      shares.forEach((share, member) => {
        for (const { streamName } of share) {
          const id = cardinalId(streamName);
          assert.equal(owner.get(id) ?? member, member);
          owner.set(id, member);
        }
      });
      if (size <= 5) {
        assert.deepEqual(shares.flatMap(globals).sort((a, b) => a - b), all);
      }
    }
  });
});

describe("readMatching()", () => {
  const names = async (
    pattern: string,
  ) => [
    ...new Set(
      (await readMatching(db.sql, pattern)).map(({ streamName }) => streamName),
    ),
  ];

  test("matches whole stream names by a LIKE pattern", async () => {
    assert.deepEqual(await names("account:%-1"), [
      "account:command-1",
      "account:snapshot-1",
    ]);
    assert.deepEqual(await names("accounts"), []);
    assert.equal((await readMatching(db.sql, "%")).length, 84);
    assert.deepEqual(
      (await readMatching(db.sql, "%-%", { position: 80, batchSize: 3 }))
        .map(({ globalPosition }) => globalPosition),
      [80, 81, 82],
    );
  });

  test("takes _ as any character and \\ as an escape", async () => {
    await write(db.sql, "order_item-1", { type: "Written" });
    await write(db.sql, "orderXitem-1", { type: "Written" });
    await write(db.sql, "100%\\-1", { type: "Written" });
    assert.deepEqual(await names("order_item-%"), [
      "order_item-1",
      "orderXitem-1",
    ]);
    assert.deepEqual(await names("order\\_item-%"), ["order_item-1"]);
    assert.deepEqual(await names("100\\%\\\\-1"), ["100%\\-1"]);
    await assert.rejects(readMatching(db.sql, "order\\"), TypeError);
    await assert.rejects(readMatching(db.sql, ""), TypeError);
  });
});

describe("what is in the store", () => {
  test("streamNames() and entityIds() are of one category, distinct and sorted", async () => {
    const ids = Array.from({ length: 40 }, (_, at) => `${at}+${at % 3}`).sort();
    assert.deepEqual(await entityIds(db.sql, "account"), ids);
    assert.deepEqual(
      await streamNames(db.sql, "account"),
      ids.map((id) => `account-${id}`),
    );
    assert.deepEqual(await entityIds(db.sql, "account:snapshot"), ["1"]);
    assert.deepEqual(await entityIds(db.sql, "none"), []);
    assert.deepEqual(await streamNames(db.sql, "none"), []);
  });

  test("categories() are distinct and sorted", async () => {
    assert.deepEqual(await categories(db.sql), [
      "100%\\",
      "account",
      "account:command",
      "account:position",
      "account:snapshot",
      "accounts",
      "orderXitem",
      "order_item",
    ]);
    await db.sql.begin(async (sql) => {
      await sql`delete from message_store.messages`;
      assert.deepEqual(await categories(sql), []);
      throw new Error("back");
    }).catch((error: Error) => assert.equal(error.message, "back"));
  });

  test("messageStoreVersion() is the one that is installed", async () => {
    assert.equal(await messageStoreVersion(db.sql), "1.3.0");
  });
});
