import assert from "node:assert/strict";
import { describe, test } from "vitest";
import {
  aggregate,
  type ConsumerIdentity,
  drain,
  fromQuery,
  type Message,
  readAll,
  readLastMessage,
  readStream,
  type Sql,
  write,
  writeBatch,
} from "../../mod.ts";
import { planRewind, rewind } from "../../src/operate/mod.ts";
import { whileLocked } from "../_locks.ts";
import { writeCounted } from "../consume/_consuming.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const empty = useDatabase();

/** What a consumer handles until it has caught up. */
async function handledBy(consumer: ConsumerIdentity): Promise<unknown[]> {
  const handled: unknown[] = [];
  const handle = ({ data }: Message) => void handled.push(data);
  await drain(db.sql, { ...consumer, handle } as Parameters<typeof drain>[1]);
  return handled;
}

async function consumerOf(category: string, count = 5): Promise<[ConsumerIdentity, number[]]> {
  const positions = await writeCounted(db.sql, category, count, { streams: 4 });
  const consumer = { category, consumerId: "it" };
  assert.equal((await handledBy(consumer)).length, count);
  return [consumer, positions];
}

describe("rewind()", () => {
  test("has a consumer go on from a position, which is included", async () => {
    const [consumer, positions] = await consumerOf("place");
    assert.equal(await rewind(db.sql, consumer, positions[3]!), positions[3]);
    assert.deepEqual(await handledBy(consumer), [3, 4]);
    assert.deepEqual(await handledBy(consumer), []);
  });

  test("goes to the beginning and to the end", async () => {
    const [consumer, positions] = await consumerOf("ends");
    for (const beginning of ["beginning", 0, 1] as const) {
      assert.equal(await rewind(db.sql, consumer, beginning), 1);
      assert.deepEqual(await handledBy(consumer), [0, 1, 2, 3, 4]);
    }
    await rewind(db.sql, consumer, "beginning");
    assert.equal(await rewind(db.sql, consumer, "end"), positions[4]! + 1);
    assert.deepEqual(await handledBy(consumer), []);
    await writeCounted(db.sql, "ends", 1, { from: 5 });
    assert.deepEqual(await handledBy(consumer), [5]);
  });

  test("goes to the first message that was written at a time or later", async () => {
    const [consumer] = await consumerOf("time");
    const written = await readLastMessage(db.sql, "time-0");
    await rewind(db.sql, consumer, new Date(Number(written!.time)));
    const late = (await handledBy(consumer)) as number[];
    assert.ok(late.includes(4) && !late.includes(0), String(late));
    await rewind(db.sql, consumer, new Date(0));
    assert.deepEqual(await handledBy(consumer), [0, 1, 2, 3, 4]);
    await rewind(db.sql, consumer, new Date(Date.now() + 1e9));
    assert.deepEqual(await handledBy(consumer), []);
  });

  test("rewinds all members of all sizes, and those that a size has lacked", async () => {
    const [consumer, positions] = await consumerOf("sizes", 12);
    const groupOf = (size: number) => ({ ...consumer, consumerGroup: { size } });
    await handledBy(groupOf(2));
    await handledBy(groupOf(3));
    // Of this size only one member has ever run.
    await handledBy({ ...consumer, consumerGroup: { member: 1, size: 4 } });
    const later = [7, 8, 9, 10, 11];
    for (const again of [consumer, groupOf(2), groupOf(3), groupOf(4), groupOf(5), groupOf(1)]) {
      assert.equal(await rewind(db.sql, groupOf(2), positions[7]!), positions[7]);
      assert.deepEqual(
        (await handledBy(again)).toSorted(),
        later.toSorted(),
        JSON.stringify(again),
      );
      assert.deepEqual(await handledBy(again), []);
    }
  });

  test("keeps who holds a position, and adds that it was set", async () => {
    const [consumer] = await consumerOf("claim");
    const name = "claim:position-it";
    const claim = { owner: "somebody", leaseDuration: 60_000, answers: true };
    await write(db.sql, name, { type: "Recorded", data: { position: 1 }, metadata: claim });
    const before = await readLastMessage(db.sql, name);
    await rewind(db.sql, consumer, 1);
    const { data, metadata, position } = (await readLastMessage(db.sql, name))!;
    assert.deepEqual(data, { position: 0 });
    assert.deepEqual(metadata, { ...claim, reset: true });
    assert.equal(position, before!.position + 1);
    await write(db.sql, name, { type: "Recorded", data: { position: 1 } });
    await rewind(db.sql, consumer, 1);
    assert.deepEqual((await readLastMessage(db.sql, name))!.metadata, { reset: true });
  });

  test("leaves the position of replayParked and other consumers alone", async () => {
    const [consumer] = await consumerOf("others");
    await handledBy({ ...consumer, consumerId: "it2" });
    const left = ["others:position-it2", "others:position-it+parked", "others:parked-it"];
    await write(db.sql, left[1]!, { type: "Recorded", data: { position: 3 } });
    const before = await Promise.all(left.map((name) => readStream(db.sql, name)));
    await rewind(db.sql, consumer, "beginning");
    assert.deepEqual(await Promise.all(left.map((name) => readStream(db.sql, name))), before);
  });

  test("comes between no two stores of a running consumer, and no store is lost", async () => {
    const [consumer] = await consumerOf("busy");
    const name = "busy:position-it";
    let isOver = false;
    const storing = (async () => {
      let conflicts = 0;
      for (let { position } = (await readLastMessage(db.sql, name))!; !isOver;) {
        const recorded = { type: "Recorded", data: { position: 5 } };
        await write(db.sql, name, recorded, { expectedVersion: position }).then(
          (version) => position = version,
          async () => {
            conflicts++;
            position = (await readLastMessage(db.sql, name))!.position;
          },
        );
      }
      return conflicts;
    })();
    for (let times = 0; times < 50; times++) await rewind(db.sql, consumer, 1);
    isOver = true;
    const conflicts = await storing;
    const all = await readStream<{ position: number }>(db.sql, name, { batchSize: 100_000 });
    const resets = all.filter(({ metadata }) => metadata?.["reset"] === true);
    assert.equal(resets.length, 50);
    assert.ok(resets.every(({ data }) => data.position === 0));
    assert.ok(conflicts <= 50);
  });

  test("misses no member of a size that is recorded at the same time", async () => {
    const [consumer] = await consumerOf("racing");
    const name = "racing:group-it";
    const start = (sql: Sql) => rewind(sql, consumer, "beginning");
    await whileLocked(db, name, 1, start, async (sql) => {
      await write(sql, name, { type: "Sized", data: { size: 2 } });
    });
    for (const name of ["", "+0+2", "+1+2"]) {
      const last = await readLastMessage(db.sql, `racing:position-it${name}`);
      assert.deepEqual(last?.data, { position: 0 });
    }
  });

  test("does all or nothing in the caller's transaction", async () => {
    const [consumer] = await consumerOf("undone");
    await assert.rejects(
      db.sql.begin(async (sql) => {
        await rewind(sql, consumer, "beginning");
        throw new Error("undone");
      }),
      /undone/,
    );
    assert.deepEqual(await handledBy(consumer), []);
  });

  test("is done once if it is sent twice", async () => {
    const [consumer] = await consumerOf("twice");
    const twice = fromQuery(async (text, parameters) => {
      await db.sql.unsafe(text, parameters);
      return await db.sql.unsafe(text, parameters);
    });
    await rewind(twice, { ...consumer, consumerGroup: { size: 2 } }, "beginning");
    const all = await readStream(db.sql, "twice:position-it");
    assert.equal(all.filter(({ metadata }) => metadata?.["reset"]).length, 1);
  });

  test("goes by references for an aggregate, and by all messages for $all", async () => {
    await writeCounted(db.sql, "origin", 4);
    await aggregate(db.sql, { name: "ledger", from: ["origin"], partition: () => 0 }, {
      once: true,
    });
    const references = await readStream(db.sql, "ledger-0");
    const consumer = { aggregate: "ledger", consumerId: "it" };
    assert.deepEqual(await handledBy(consumer), [0, 1, 2, 3]);
    await rewind(db.sql, consumer, references[2]!.globalPosition);
    assert.deepEqual(await handledBy(consumer), [2, 3]);
    const [origin] = await readStream(db.sql, "origin-0");
    await rewind(db.sql, consumer, origin!.time);
    assert.deepEqual(await handledBy(consumer), [0, 1, 2, 3]);
    const all = { category: "$all", consumerId: "it" };
    const count = (await handledBy(all)).length;
    await rewind(db.sql, all, "beginning");
    assert.equal((await handledBy(all)).length, count);
    const last = (await readAll(db.sql, { direction: "backward", batchSize: 1 }))[0]!;
    await rewind(db.sql, all, "end");
    assert.deepEqual(
      (await readLastMessage(db.sql, "$all:position-it"))!.data,
      { position: last.globalPosition },
    );
  });

  test("takes any name", async () => {
    for (const category of ["a'b", 'a"b', "a\\b", "a%b", "a_b", "ä ☃", "a:command", "a:b+c"]) {
      for (const consumerId of ["o'it", 'i"t', "i\\t", "%", "_", "-", "☃-1"]) {
        await write(db.sql, `${category}-1`, { type: "Written", data: consumerId });
        const consumer = { category, consumerId, consumerGroup: { size: 2 } };
        const count = (await handledBy(consumer)).length;
        await rewind(db.sql, consumer, "beginning");
        assert.equal((await handledBy(consumer)).length, count, `${category} ${consumerId}`);
      }
    }
  });

  test("does not mind what others have written to such streams", async () => {
    const [consumer] = await consumerOf("odd");
    const sizes = ["XL", 1e9, -1, 1.5, null, { a: 1 }];
    const messages = sizes.map((size) => ({ type: "Sized", data: { size } }));
    await writeBatch(db.sql, "odd:group-it", [...messages, { type: "Sized" }]);
    await db.sql`
      insert into message_store.messages (stream_name, position, type, data, metadata)
      values ('odd:position-it', 99, 'Recorded', '{"position": 5}', '[]')`;
    await rewind(db.sql, consumer, "beginning");
    const last = await readLastMessage(db.sql, "odd:position-it");
    assert.deepEqual([last!.data, last!.metadata], [{ position: 0 }, { reset: true }]);
  });
});

describe("rewind() refuses", () => {
  test("a consumer that has no position, and writes nothing", async () => {
    const count = (await readAll(db.sql, { batchSize: 100_000 })).length;
    const none = { category: "none", consumerId: "it" };
    const why = "the store has no position of it: check its names; " +
      "a consumer that has never run starts at its startAt";
    await assert.rejects(rewind(db.sql, none, "beginning"), {
      name: "Error",
      message: `Cannot rewind consumer "it" of category "none": ${why}`,
    });
    await assert.rejects(rewind(db.sql, { aggregate: "none", consumerId: "it" }, 1), {
      message: `Cannot rewind consumer "it" of aggregate "none": ${why}`,
    });
    await assert.rejects(rewind(empty.sql, { category: "$all", consumerId: "it" }, "end"), {
      message: `Cannot rewind consumer "it" of "$all": ${why}`,
    });
    assert.equal((await readAll(db.sql, { batchSize: 100_000 })).length, count);
  });

  test("a position after the end of the store", async () => {
    const [consumer] = await consumerOf("beyond");
    const [last] = await readAll(db.sql, { direction: "backward", batchSize: 1 });
    const end = last!.globalPosition + 1;
    await assert.rejects(rewind(db.sql, consumer, end + 1), {
      name: "RangeError",
      message: `Cannot rewind consumer "it" of category "beyond" to position ${end + 1}: ` +
        `the store ends before ${end}: give a position up to that, or "end"`,
    });
    assert.equal(await rewind(db.sql, consumer, end), end);
  });

  test("what is no position, and a single member, before anything is sent", async () => {
    const sql = fromQuery(() => assert.fail("sent"));
    const consumer = { category: "account", consumerId: "it" };
    const fails = (position: unknown, name: string, message: RegExp) =>
      assert.rejects(rewind(sql, consumer, position as number), { name, message });
    await fails(-1, "RangeError", /^Cannot use -1 as "position": it must be an integer from 0 to/);
    await fails(1.5, "RangeError", /"position"/);
    for (const position of ["start", null, undefined, new Date(NaN), 1n, {}]) {
      await fails(
        position,
        "TypeError",
        /as "position": it must be a position, "beginning", "end"/,
      );
    }
    await assert.rejects(
      rewind(sql, { ...consumer, consumerGroup: { member: 0, size: 2 } }, 1),
      {
        name: "TypeError",
        message:
          'Cannot use an object of Object as "consumerGroup": it must be without "member": ' +
          "it is done to the whole consumer",
      },
    );
    await assert.rejects(rewind(sql, { category: "a-b", consumerId: "it" }, 1), /category/);
    await assert.rejects(rewind(sql, { category: "a", consumerId: "a+b" }, 1), /consumerId/);
  });
});

describe("planRewind()", () => {
  test("tells what rewind() then does, and changes nothing", async () => {
    const [consumer, positions] = await consumerOf("plan");
    await writeCounted(db.sql, "plan", 2, { from: 5 });
    const [, , , , last] = positions;
    const plan = async (position: Parameters<typeof rewind>[2]) => {
      const { position: to, members } = await planRewind(db.sql, consumer, position);
      return [to, ...members.map((it) => [it.from, it.again, it.never, it.isMore])];
    };
    assert.deepEqual(await plan("beginning"), [1, [last, 5, 0, false]]);
    assert.deepEqual(await plan(positions[3]!), [positions[3], [last, 2, 0, false]]);
    assert.deepEqual(await plan(new Date(0)), [positions[0], [last, 5, 0, false]]);
    const [end, member] = await plan("end");
    assert.deepEqual(member, [last, 0, 2, false]);
    assert.deepEqual(await handledBy(consumer), [5, 6]);
    assert.equal(await rewind(db.sql, consumer, "end"), end);
  });

  test("looks at no more messages than it is told, and only between the two positions", async () => {
    const [consumer, positions] = await consumerOf("limitedplan", 6);
    await writeCounted(db.sql, "limitedplan", 30, { from: 6 });
    const plan = async (position: Parameters<typeof rewind>[2], scanLimit: number) => {
      const { members: [member] } = await planRewind(db.sql, consumer, position, { scanLimit });
      return [member!.again, member!.never, member!.isMore];
    };
    assert.deepEqual(await plan(positions[3]!, 3), [3, 0, false]);
    assert.deepEqual(await plan(positions[2]!, 3), [3, 0, true]);
    assert.deepEqual(await plan("end", 30), [0, 30, false]);
    assert.deepEqual(await plan("end", 29), [0, 29, true]);
    await assert.rejects(plan("end", 0), /^RangeError: Cannot use 0 as "scanLimit"/);
  });

  test("counts the share of each member of a group", async () => {
    const consumer = { category: "planned", consumerId: "it", consumerGroup: { size: 2 } };
    await writeCounted(db.sql, "planned", 6, { streams: 5 });
    await handledBy(consumer);
    const { members } = await planRewind(db.sql, consumer, "beginning");
    assert.deepEqual(
      members.map(({ streamName }) => streamName),
      ["planned:position-it+0+2", "planned:position-it+1+2"],
    );
    assert.equal(members[0]!.again + members[1]!.again, 6);
    assert(members.every(({ again }) => again > 0));
  });

  test("refuses what rewind() refuses, in the same words", async () => {
    const [consumer] = await consumerOf("refusedplan");
    for (
      const [given, position] of [
        [{ ...consumer, consumerId: "other" }, 1],
        [consumer, 1_000_000],
        [consumer, -1],
        [{ ...consumer, consumerGroup: { member: 0, size: 2 } }, 1],
      ] as const
    ) {
      const refusal = await rewind(db.sql, given, position).catch((error) => error);
      assert(refusal instanceof Error);
      await assert.rejects(planRewind(db.sql, given, position), {
        name: refusal.name,
        message: refusal.message,
      });
    }
  });
});
