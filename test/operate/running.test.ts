import assert from "node:assert/strict";
import { describe, test } from "vitest";
import {
  type Consumer,
  type Message,
  type PageContext,
  readLastMessage,
  readStream,
} from "../../mod.ts";
import { park, parked, remove, rewind, skip } from "../../src/operate/mod.ts";
import { eventually, until } from "../_until.ts";
import { gate, start, writeCounted } from "../consume/_consuming.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const reason = "it hangs";

/** A consumer and its eight messages, of two streams. */
async function consumerOf(category: string) {
  await writeCounted(db.sql, category, 8, { streams: 2 });
  const streams = await Promise.all([0, 1].map((at) => readStream(db.sql, `${category}-${at}`)));
  const messages = streams.flat().toSorted((a, b) => a.globalPosition - b.globalPosition);
  return { consumer: { category, consumerId: "it" }, messages };
}

describe("beside a running consumer", () => {
  test("rewind() has it handle again from there, and it keeps its claim", async () => {
    const positions = await writeCounted(db.sql, "rewound", 5);
    const seen: unknown[] = [];
    const handle = ({ data }: Message) => void seen.push(data);
    const consumer = { category: "rewound", consumerId: "it" };
    const running = start(db.sql, { ...consumer, handle });
    await until(() => seen.length === 5);
    const owner = async () =>
      (await readLastMessage(db.sql, "rewound:position-it"))!.metadata?.["owner"];
    const before = await owner();
    await rewind(db.sql, consumer, positions[3]!);
    await until(() => seen.length >= 7);
    await rewind(db.sql, consumer, "beginning");
    await until(() => seen.length >= 12);
    assert.equal(await owner(), before);
    await writeCounted(db.sql, "rewound", 1, { from: 5 });
    await until(() => seen.length >= 13);
    await running.stop();
    assert.deepEqual(seen, [0, 1, 2, 3, 4, 3, 4, 0, 1, 2, 3, 4, 5]);
  });

  test("rewind() has it leave out what is before, and a page in hand", async () => {
    await writeCounted(db.sql, "forward", 100);
    const seen: unknown[] = [];
    const { opened, open } = gate();
    const consumer = { category: "forward", consumerId: "it" };
    const handle = async ({ data }: Message) => {
      seen.push(data);
      if (data === 3) await opened;
    };
    const running = start(db.sql, { ...consumer, handle });
    await until(() => seen.length === 4);
    await rewind(db.sql, consumer, "end");
    open();
    await writeCounted(db.sql, "forward", 1, { from: 1000 });
    await until(() => seen.includes(1000));
    await running.stop();
    // The page in hand may end first, and nothing of it comes once more. What is written after that may come
    // before the consumer learns of the rewind, and again after.
    const page = seen.filter((it) => it !== 1000);
    assert.equal(new Set(page).size, page.length);
  });

  test.each([1, 3])("rewind() has all members of %i processes go back", async (processes) => {
    const category = `rewoundgroup${processes}`;
    await writeCounted(db.sql, category, 30, { streams: 10 });
    const seen = new Map<unknown, number>();
    const handle = ({ data }: Message) => void seen.set(data, (seen.get(data) ?? 0) + 1);
    const consumer = { category, consumerId: "it", consumerGroup: { size: 4 } };
    const running = Array.from(
      { length: processes },
      () => start(db.sql, { ...consumer, leaseDuration: 1000, handle }),
    );
    for (let times = 1; times < 4; times++) {
      await until(() => seen.size === 30 && [...seen.values()].every((it) => it >= times));
      await rewind(db.sql, consumer, "beginning");
    }
    await until(() => [...seen.values()].every((it) => it >= 4));
    await Promise.all(running.map((it) => it.stop()));
  });

  test.each([false, true])(
    "park() and skip() get it past retries, transactional: %s",
    async (transactional) => {
      const category = `retries${transactional}`;
      const { consumer, messages } = await consumerOf(category);
      const seen: unknown[] = [];
      let attempts = 0;
      const handle = ({ data }: Message) => {
        if (data !== 3 && data !== 5) return void seen.push(data);
        attempts++;
        throw new Error("no");
      };
      const running = start(
        db.sql,
        {
          ...consumer,
          onError: { retry: 1_000_000, delay: 5 },
          transactional,
          handle,
          positionUpdateInterval: 1,
        } as Consumer<typeof db.sql>,
      );
      await until(() => attempts > 0);
      await eventually(() => park(db.sql, consumer, messages[3]!.id, { reason }));
      await until(() => seen.includes(4));
      await eventually(() => skip(db.sql, consumer, messages[5]!.id, { reason }));
      await until(() => seen.includes(7));
      await running.stop();
      assert.deepEqual(new Set(seen), new Set([0, 1, 2, 4, 6, 7]));
      assert.deepEqual((await parked(db.sql, consumer)).map(({ message }) => message.id), [
        messages[3]!.id,
      ]);
    },
  );

  test.each([false, true])(
    "park() and skip() get it past handlers that never end, transactional: %s",
    async (transactional) => {
      const category = `hung${transactional}`;
      const { consumer, messages } = await consumerOf(category);
      const seen: unknown[] = [];
      const { opened, open } = gate();
      const hung: AbortSignal[] = [];
      const handle = async ({ data }: Message, { signal }: { signal: AbortSignal }) => {
        if (data !== 3 && data !== 5) return void seen.push(data);
        hung.push(signal);
        await opened;
      };
      const running = start(
        db.sql,
        {
          ...consumer,
          transactional,
          // Each message has a transaction of its own, so those before it are stored.
          ...(transactional && { commitInterval: 0 }),
          handle,
          positionUpdateInterval: 1,
          shutdownTimeout: 20,
        } as Consumer<typeof db.sql>,
      );
      await until(() => hung.length === 1);
      await eventually(() => park(db.sql, consumer, messages[3]!.id, { reason }));
      await until(() => hung.length === 2);
      assert.deepEqual(hung.map(({ aborted }) => aborted), [true, false]);
      await eventually(() => skip(db.sql, consumer, messages[5]!.id, { reason }));
      await until(() => seen.includes(7));
      // What the handlers do now counts no more.
      open();
      await writeCounted(db.sql, category, 1, { from: 8 });
      await until(() => seen.includes(8));
      await running.stop();
      assert.deepEqual(seen, [0, 1, 2, 4, 6, 7, 8]);
    },
  );

  test.each(["handle", "handlePage"])(
    "rewind() to where it is shows the message whose handler never ends, by %s in a transaction",
    async (name) => {
      const category = `shown${name}`;
      const { consumer, messages } = await consumerOf(category);
      const seen: unknown[] = [];
      const { opened, open } = gate();
      let hung = 0;
      const handle = async ({ data }: Message) => {
        if (data !== 3) return void seen.push(data);
        hung++;
        await opened;
      };
      const handlePage = async (page: readonly Message[], { signal }: PageContext) => {
        for (const message of page) if (!signal.aborted) await handle(message);
      };
      const running = start(
        db.sql,
        {
          ...consumer,
          transactional: true,
          commitInterval: 60_000,
          ...(name === "handle" ? { handle } : { handlePage }),
          shutdownTimeout: 20,
        } as Consumer<typeof db.sql>,
      );
      await until(() => hung === 1);
      const pass = () => park(db.sql, consumer, messages[3]!.id, { reason });
      await assert.rejects(pass(), /meets message/);
      await rewind(db.sql, consumer, messages[0]!.globalPosition);
      await until(() => hung === 2);
      await pass();
      await until(() => seen.includes(7));
      open();
      await running.stop();
      assert.deepEqual(seen, [0, 1, 2, 0, 1, 2, 4, 5, 6, 7]);
    },
  );

  test("remove() refuses, and goes when it has ended", async () => {
    await writeCounted(db.sql, "removed", 5);
    const seen: unknown[] = [];
    const handle = ({ data }: Message) => void seen.push(data);
    const consumer = { category: "removed", consumerId: "it", consumerGroup: { size: 2 } };
    const running = start(db.sql, { ...consumer, handle });
    await until(() => seen.length === 5);
    await assert.rejects(remove(db.sql, consumer), /a process has it, which has just shown/);
    await running.stop();
    assert.ok(await remove(db.sql, consumer) > 2);
    const again = start(db.sql, { ...consumer, handle });
    await until(() => seen.length === 10);
    await again.stop();
  });
});
