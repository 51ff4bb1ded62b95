import assert from "node:assert/strict";
import { describe, test } from "vitest";
import {
  type Consumer,
  drain,
  fromQuery,
  type Message,
  readAll,
  readLastMessage,
  readStream,
  replayParked,
  type Sql,
  streamVersion,
  write,
  writeBatch,
} from "../../mod.ts";
import { parked, remove } from "../../src/operate/mod.ts";
import { whileLocked } from "../_locks.ts";
import { until } from "../_until.ts";
import { writeCounted } from "../consume/_consuming.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

async function everything(): Promise<Message[]> {
  return await readAll(db.sql, { batchSize: 1_000_000 });
}

/** A consumer with everything that a consumer can have. */
async function consumerOf(category: string, consumerId = "it") {
  await writeCounted(db.sql, category, 6, { streams: 3 });
  const consumer = { category, consumerId };
  const parking = { ...consumer, handle: () => "park" as const };
  await drain(db.sql, parking);
  await drain(db.sql, { ...parking, consumerGroup: { size: 2 } });
  await drain(db.sql, { ...parking, consumerGroup: { size: 3 } });
  await replayParked(db.sql, { ...consumer, handle: () => {} }, { limit: 2 });
  return consumer;
}

const claimed = { owner: "somebody", leaseDuration: 60_000, answers: true };

async function hold(streamName: string, metadata: Record<string, unknown> | null) {
  const last = await readLastMessage(db.sql, streamName);
  const data = last?.data as { position: number } ?? { position: 0 };
  return await write(db.sql, streamName, { type: "Recorded", data, metadata });
}

describe("remove()", () => {
  test("removes all that the store has of a consumer, and nothing else", async () => {
    for (const category of ["all", "all:command", "a'\"\\b%_☃"]) {
      for (const id of ["it", 'i"t\\', "%", "it-1"]) {
        const before = await everything();
        const others = await consumerOf(category, `${id}2`);
        const kept = await everything();
        const consumer = await consumerOf(category, id);
        const separator = category.includes(":") ? "+" : ":";
        for (const name of ["claim", "group", "position", "parked"]) {
          assert.notEqual(await streamVersion(db.sql, `${category}${separator}${name}-${id}`), -2);
        }
        await write(db.sql, `${category}${separator}claim-${id}+0+2`, {
          type: "Claimed",
          data: { version: 1, owner: "me" },
        });
        const written = await everything();
        const own = written.filter(({ streamName }) =>
          new RegExp(`[:+](position|claim|group|parked)-`).test(streamName) &&
          streamName.includes(`-${id}`) && !streamName.includes(`-${id}2`) &&
          streamName.startsWith(`${category}${separator}`)
        );
        const fresh = own.filter((it) => !kept.some(({ id }) => id === it.id));
        assert.ok(fresh.length > 8, String(fresh.length));
        const removed = await remove(db.sql, { ...consumer, consumerGroup: { size: 2 } });
        assert.equal(removed, fresh.length);
        const left = await everything();
        assert.equal(left.length, written.length - removed);
        assert.ok(fresh.every((it) => !left.some(({ id }) => id === it.id)));
        assert.equal(await remove(db.sql, consumer), 0);
        assert.deepEqual(await parked(db.sql, consumer), []);
        assert.notDeepEqual(await parked(db.sql, others), []);
        const again: unknown[] = [];
        const handle = ({ data }: Message) => void again.push(data);
        await drain(db.sql, { ...consumer, handle });
        assert.ok(again.length >= 12 && before.length < left.length);
      }
    }
  });

  test("leaves an application's messages in streams of such names", async () => {
    const consumer = await consumerOf("vehicle", "17");
    const before = await everything();
    const foreign = [
      { type: "Recorded", data: { lat: 1, lng: 2 } },
      { type: "Recorded", data: null },
      { type: "Parked", data: { street: "Main" } },
      { type: "Sized", data: { size: "XL" } },
      { type: "Sized" },
    ];
    for (const name of ["position", "claim", "group", "parked"]) {
      await writeBatch(db.sql, `vehicle:${name}-17`, foreign);
    }
    assert.ok(await remove(db.sql, consumer) > 8);
    const left = new Set((await everything()).map(({ id }) => id));
    for (const name of ["position", "claim", "group", "parked"]) {
      assert.equal((await readStream(db.sql, `vehicle:${name}-17`)).length, foreign.length);
    }
    assert.ok(
      before.filter(({ streamName }) => /^vehicle-/.test(streamName)).every(({ id }) =>
        left.has(id)
      ),
    );
  });

  test("waits for a process that does not answer, or whose claim runs out", async () => {
    const consumer = await consumerOf("dead");
    await hold("dead:position-it+1+2", { ...claimed, leaseDuration: 300 });
    await hold("dead:position-it", { owner: "drained", leaseDuration: 300 });
    await hold("dead:position-it+parked", { owner: "replaying", leaseDuration: 300 });
    assert.ok(await remove(db.sql, consumer) > 10);
  });

  test("removes a consumer whose streams move until they rest", async () => {
    const consumer = await consumerOf("moving");
    const removed = await whileLocked(
      db,
      "moving:position-it",
      1,
      (sql) => remove(sql, consumer),
      async (sql) => {
        await write(sql, "moving:position-it", { type: "Recorded", data: { position: 1 } });
        await write(sql, "moving:parked-it", { type: "Replayed", data: { position: 1 } });
      },
    );
    assert.ok(removed > 10);
    assert.equal(await streamVersion(db.sql, "moving:position-it"), -1);
    assert.equal(await streamVersion(db.sql, "moving:parked-it"), -1);
  });

  test("misses no member of a size that is recorded at the same time", async () => {
    const consumer = await consumerOf("growing");
    await write(db.sql, "growing:position-it+3+4", { type: "Recorded", data: { position: 1 } });
    await whileLocked(db, "growing:group-it", 1, (sql) => remove(sql, consumer), async (sql) => {
      await write(sql, "growing:group-it", { type: "Sized", data: { size: 4 } });
    });
    const left = (await everything()).filter(({ streamName }) => /^growing:/.test(streamName));
    assert.deepEqual(left, []);
  });

  test("is undone with the caller's transaction", async () => {
    const consumer = await consumerOf("undone");
    const before = await everything();
    await assert.rejects(
      db.sql.begin(async (sql) => {
        assert.ok(await remove(sql, consumer) > 8);
        throw new Error("undone");
      }),
      /undone/,
    );
    assert.deepEqual(await everything(), before);
  });
});

describe("remove() refuses", () => {
  test("a consumer that a process holds, which it asks", async () => {
    const consumer = await consumerOf("alive");
    const before = (await everything()).length;
    const name = "alive:position-it+1+3";
    const version = await hold(name, claimed);
    const removing = remove(db.sql, consumer);
    removing.catch(() => {});
    const asked = async () => (await readLastMessage(db.sql, "alive:claim-it+1+3"))?.data;
    await until(async () => (await asked() as { version: number })?.version === version);
    await hold(name, claimed);
    await assert.rejects(removing, {
      name: "Error",
      message:
        'Cannot remove consumer "it" of category "alive": a process has it, which has just ' +
        "shown that it runs: end it first",
    });
    // The claim, the question and the answer.
    assert.equal((await everything()).length, before + 3);
  });

  test("a consumer that drains, or replays", async () => {
    const consumer = await consumerOf("draining");
    for (const name of ["draining:position-it", "draining:position-it+parked"]) {
      const metadata = { owner: "drain", leaseDuration: 60_000 };
      await hold(name, metadata);
      let isOver = false;
      const removing = remove(db.sql, consumer).finally(() => isOver = true);
      removing.catch(() => {});
      while (!isOver) await hold(name, metadata);
      await assert.rejects(removing, /a process has it, which has just shown that it runs/);
      await hold(name, null);
    }
    assert.ok(await remove(db.sql, consumer) > 8);
  });

  test("a consumer that is written to all the time", async () => {
    const consumer = await consumerOf("restless");
    const before = await everything();
    let writes = 0;
    const restless = fromQuery(async (text, parameters) => {
      if (/delete from/.test(text)) {
        await hold("restless:position-it", null);
        writes++;
      }
      return await db.sql.unsafe(text, parameters);
    });
    await assert.rejects(remove(restless, consumer), {
      message: 'Cannot remove consumer "it" of category "restless": a process writes to its ' +
        "streams all the time: end it first",
    });
    assert.equal((await everything()).length, before.length + writes);
  });

  test("to ask inside of a transaction, and to see an old snapshot", async () => {
    const consumer = await consumerOf("inside");
    await hold("inside:position-it", claimed);
    await assert.rejects(db.sql.begin((sql) => remove(sql, consumer)), {
      message: 'Cannot remove consumer "it" of category "inside": a process may have it, and a ' +
        "transaction cannot ask that process",
    });
    await hold("inside:position-it", null);
    await assert.rejects(
      db.sql.begin("isolation level repeatable read", (sql) => remove(sql, consumer)),
      {
        message: 'Cannot remove consumer "it" of category "inside": it has to see what others ' +
          "commit: use the isolation level READ COMMITTED",
      },
    );
    assert.ok(await remove(db.sql, consumer) > 8);
  });

  test("a role that may not delete, and says which right is needed", async () => {
    const consumer = await consumerOf("rights");
    const before = await everything();
    await db.sql.unsafe('create role "an Operator" in role message_store');
    const sql = db.connect({ connection: { role: "an Operator" } });
    await assert.rejects(remove(sql, consumer), {
      name: "Error",
      message: 'Cannot remove consumer "it" of category "rights": the role "an Operator" may not ' +
        'delete messages, which "grant delete on message_store.messages to "an Operator"" allows',
    });
    assert.deepEqual(await everything(), before);
    await db.sql.unsafe('grant delete on message_store.messages to "an Operator"');
    assert.ok(await remove(sql, consumer) > 8);
    await db.sql.unsafe('drop owned by "an Operator"; drop role "an Operator"');
  });

  test("a single member, before anything is sent", async () => {
    const sql: Sql = () => assert.fail("sent");
    const one = { category: "a", consumerId: "it", consumerGroup: { member: 0, size: 2 } };
    await assert.rejects(remove(sql, one), { name: "TypeError", message: /without "member"/ });
    await assert.rejects(remove(sql, {} as Consumer), TypeError);
  });
});
