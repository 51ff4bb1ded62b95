import assert from "node:assert/strict";
import fc from "fast-check";
import type postgres from "postgres";
import { beforeAll, describe, test } from "vitest";
import {
  consume,
  type Consumer,
  type ConsumerEvent,
  defineMessages,
  drain,
  HandlerFailedError,
  type Message,
  type Parked,
  readStream,
  write,
  writeBatch,
} from "../../mod.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { start, stored, writeCounted } from "./_consuming.ts";

const db = useDatabase();
type Transaction = postgres.TransactionSql;

beforeAll(async () => {
  await db.sql`
    create table effects (id bigint generated always as identity, consumer text, number int)`;
});

const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);

async function insert(sql: postgres.Sql | Transaction, consumer: string, list: readonly number[]) {
  await sql`
    insert into effects (consumer, number)
    select ${consumer}, number from unnest(${`{${list}}`}::int[]) as number`;
}

async function effectsOf(consumer: string): Promise<number[]> {
  const rows = await db.sql`select number from effects where consumer = ${consumer} order by id`;
  return rows.map(({ number }) => number);
}

/** What a consumer with a policy leaves: the effects, what is parked, the position, and how it ended. */
async function outcomeOf(category: string, consumerId: string, drained: Promise<unknown>) {
  const ended = await drained.then(
    () => "caught up",
    (error) => {
      assert.ok(error instanceof HandlerFailedError, String(error));
      return [error.failedMessage.data, error.attempts];
    },
  );
  const parked = await readStream<Parked>(db.sql, `${category}:parked-${consumerId}`, {
    batchSize: 1000,
  });
  return {
    ended,
    effects: await effectsOf(consumerId),
    parked: parked.map(({ data }) => [data.message.position, data.attempts, data.error?.message]),
    position: (await stored(db.sql, `${category}:position-${consumerId}`)).at(-1),
  };
}

/** What a message does: the same each time. */
type Kind = "good" | "throws" | "swallows" | "parks" | "skips" | "refused at commit";

test("a page of any size, with failures anywhere, leaves what one message at a time leaves", async () => {
  await db.sql`
    create table refused (number int check (number is not null))`;
  await db.sql`
    create function refuse() returns trigger language plpgsql as
      'begin raise exception ''refused % '', new.number; end'`;
  await db.sql`
    create constraint trigger refused after insert on refused deferrable initially deferred
      for each row execute function refuse()`;
  const kind = fc.oneof(
    { weight: 8, arbitrary: fc.constant<Kind>("good") },
    {
      weight: 1,
      arbitrary: fc.constantFrom<Kind>("throws", "swallows", "parks", "skips", "refused at commit"),
    },
  );
  const policy = fc.constantFrom(
    "stop" as const,
    "skip" as const,
    "park" as const,
    { retry: 1, delay: 0, then: "park" as const },
    { retry: 2, delay: 0, then: "skip" as const },
  );
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(kind, { minLength: 1, maxLength: 40 }),
      policy,
      fc.constantFrom(1, 3, 7, 1000),
      async (kinds, onError, batchSize) => {
        const category = `any${run++}`;
        for (const number of kinds.keys()) {
          await write(db.sql, `${category}-${number % 3}`, { type: "Counted", data: number });
        }
        /** Answers a verdict for the first message that has one. */
        const act = async (sql: Transaction, list: readonly number[], consumer: string) => {
          for (const number of list) {
            const kind = kinds[number];
            if (kind === "throws") throw new Error(`throws ${number}`);
            if (kind === "parks") return "park";
            if (kind === "skips") return "skip";
            if (kind === "refused at commit") await sql`insert into refused values (${number})`;
            if (kind === "swallows") await sql`select 1 / 0`.catch(() => {});
          }
          if (!list.some((it) => kinds[it] === "swallows")) await insert(sql, consumer, list);
          return undefined;
        };
        const options = { category, batchSize, onError, transactional: true } as const;
        const each = (consumerId: string, more: object) =>
          drain(db.sql, {
            ...options,
            ...more,
            consumerId,
            handle: ({ data }: Message, { sql }: { sql: Transaction }) =>
              act(sql, [data as number], consumerId),
          } as Consumer<typeof db.sql>);
        const pages = (consumerId: string) =>
          drain(db.sql, {
            ...options,
            consumerId,
            handlePage: (messages: readonly Message[], { sql }: { sql: Transaction }) =>
              act(sql, messages.map(({ data }) => data as number), consumerId),
          } as Consumer<typeof db.sql>);
        const ids = ["alone", "together", "pages"].map((it) => `${it}${run}`);
        const alone = await outcomeOf(category, ids[0]!, each(ids[0]!, { commitInterval: 0 }));
        const together = await outcomeOf(category, ids[1]!, each(ids[1]!, {}));
        const paged = await outcomeOf(category, ids[2]!, pages(ids[2]!));
        assert.deepEqual(together, alone);
        assert.deepEqual(paged, alone);
      },
    ),
    { numRuns: 40 },
  );
});

describe("a transactional consumer", () => {
  test("handles a page in one transaction, and stores one position", async () => {
    const positions = await writeCounted(db.sql, "page", 50, { streams: 5 });
    const transactions = new Set<unknown>();
    await drain(db.sql, {
      category: "page",
      consumerId: "it",
      transactional: true,
      commitInterval: 60_000,
      handle: async ({ data }, { sql }) => {
        const [row] = await sql`select pg_current_xact_id()::text as id`;
        transactions.add(row!.id);
        await insert(sql, "page", [data as number]);
      },
    });
    assert.equal(transactions.size, 1);
    assert.deepEqual(await stored(db.sql, "page:position-it"), [0, positions[49], positions[49]]);
    assert.deepEqual(await effectsOf("page"), numbers(50));
  });

  test("commits when its time is over, and goes on", async () => {
    await writeCounted(db.sql, "interval", 6);
    const transactions: unknown[] = [];
    await drain(db.sql, {
      category: "interval",
      consumerId: "it",
      transactional: true,
      commitInterval: 1,
      handle: async (_, { sql }) => {
        const [row] = await sql`select pg_current_xact_id()::text as id, pg_sleep(0.002)`;
        transactions.push(row!.id);
      },
    });
    assert.equal(new Set(transactions).size, 6);
  });

  test("commits what it has done when it is told to end", async () => {
    const positions = await writeCounted(db.sql, "ended", 10);
    const ending = new AbortController();
    await consume(db.sql, {
      category: "ended",
      consumerId: "it",
      transactional: true,
      commitInterval: 60_000,
      handle: async ({ data }, { sql }) => {
        await insert(sql, "ended", [data as number]);
        if (data === 3) ending.abort();
      },
    }, { signal: ending.signal });
    assert.deepEqual(await effectsOf("ended"), [0, 1, 2, 3]);
    assert.equal((await stored(db.sql, "ended:position-it")).at(-1), positions[3]);
  });

  test("finds the one message of a page that fails by halves: few calls, and none for the policy but its", async () => {
    await writeCounted(db.sql, "halves", 500, { streams: 10 });
    const asked: unknown[] = [];
    let calls = 0;
    await drain(db.sql, {
      category: "halves",
      consumerId: "it",
      transactional: true,
      onError: (_error, { data }) => {
        asked.push(data);
        return "skip";
      },
      handlePage: async (messages, { sql }) => {
        calls++;
        await insert(sql, "halves", messages.map(({ data }) => data as number));
        if (messages.some(({ data }) => data === 321)) throw new Error("321");
      },
    });
    assert.deepEqual(asked, [321]);
    assert.deepEqual(await effectsOf("halves"), numbers(500).filter((it) => it !== 321));
    assert.ok(calls <= 20, String(calls));
  });
});

describe("handlePage", () => {
  test("gets pages without a transaction, too, and at least once", async () => {
    await writeCounted(db.sql, "plain", 25);
    const pages: number[][] = [];
    const drained = await drain(db.sql, {
      category: "plain",
      consumerId: "it",
      batchSize: 10,
      handlePage: (messages) => void pages.push(messages.map(({ data }) => data as number)),
    });
    assert.deepEqual(pages.flat(), numbers(25));
    assert.deepEqual(pages.map(({ length }) => length), [10, 10, 5]);
    assert.equal(drained.handled, 25);
  });

  test("gets messages of its types alone, parsed, and the policy has what does not fit", async () => {
    const isNumber = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value: unknown) =>
          typeof value === "number"
            ? { value: value * 10 }
            : { issues: [{ message: "no number" }] },
      },
    } as const;
    const anything = {
      "~standard": { version: 1, vendor: "test", validate: (value: unknown) => ({ value }) },
    } as const;
    const messages = defineMessages({ Counted: isNumber, Other: anything });
    await writeBatch(db.sql, "typed-1", [
      { type: "Counted", data: 1 },
      { type: "Other" },
      { type: "Counted", data: "two" },
      { type: "Counted", data: 3 },
    ]);
    const pages: unknown[][] = [];
    await drain(db.sql, {
      category: "typed",
      consumerId: "it",
      messages,
      types: ["Counted"],
      onError: "park",
      handlePage: (page) => void pages.push(page.map(({ data }) => data)),
    });
    assert.deepEqual(pages.flat(), [10, 30]);
    const parked = await readStream<Parked>(db.sql, "typed:parked-it");
    assert.deepEqual(parked.map(({ data }) => data.message.position), [2]);
  });

  test.each([
    [
      { handlePage() {}, handle() {} },
      /^Cannot use this consumer: it has both "handle" and "handlePage"/,
    ],
    [
      { handlePage() {}, handlers: {} },
      /it has both "handlers" and "handlePage": give one of them$/,
    ],
    [{}, /it has neither "handle", "handlers" nor "handlePage": give one of them$/],
    [{ handlePage: 1 }, /^Cannot use 1 as "handlePage": it must be a function/],
    [{ handlePage() {}, concurrency: 2 }, /^Cannot use 2 as "concurrency": it must be left out/],
    [
      { handle() {}, commitInterval: 5 },
      /^Cannot use 5 as "commitInterval": it must be left out unless/,
    ],
    [{ handle() {}, onEvent: 1 }, /^Cannot use 1 as "onEvent": it must be a function/],
  ])("refuses %o", async (more, message) => {
    const consumer = { category: "refused", consumerId: "it", ...more };
    await assert.rejects(drain(db.sql, consumer as Consumer), { name: "TypeError", message });
  });
});

describe("onEvent", () => {
  function observing() {
    const events: ConsumerEvent[] = [];
    return { events, onEvent: (event: ConsumerEvent) => void events.push(event) };
  }
  const typesOf = (events: readonly ConsumerEvent[]) => events.map(({ type }) => type);

  test("tells what happens, in its order", async () => {
    const positions = await writeCounted(db.sql, "told", 4);
    const { events, onEvent } = observing();
    let tries = 0;
    const running = start(db.sql, {
      category: "told",
      consumerId: "it",
      consumerGroup: { member: 0, size: 1 },
      onEvent,
      onError: { retry: 1, delay: 0, then: "park" },
      handle: ({ data }) => {
        if (data === 1 && tries++ === 0) throw new Error("once");
        if (data === 2) throw new Error("always");
        return data === 3 ? "skip" : undefined;
      },
    });
    await until(() => typesOf(events).includes("caughtUp"));
    await running.stop();
    assert.deepEqual(typesOf(events), [
      "claimTaken",
      "pageRead",
      "handled",
      "retried",
      "handled",
      "retried",
      "parked",
      "skipped",
      "caughtUp",
      "positionStored",
    ]);
    for (const { category, consumerId, member, size } of events) {
      assert.deepEqual([category, consumerId, member, size], ["told", "it", 0, 1]);
    }
    const of = <Type extends ConsumerEvent["type"]>(type: Type) =>
      events.filter((it): it is Extract<ConsumerEvent, { type: Type }> => it.type === type);
    assert.deepEqual(
      of("handled").map(({ messages, attempt, duration }) => {
        assert.ok(duration >= 0);
        return [messages.map(({ data }) => data), attempt];
      }),
      [[[0], 1], [[1], 2]],
    );
    assert.deepEqual(
      of("retried").map(({ message, attempt, error }) => [
        message.data,
        attempt,
        (error as Error).message,
      ]),
      [[1, 1, "once"], [2, 1, "always"]],
    );
    assert.deepEqual(of("parked").map(({ attempts }) => attempts), [2]);
    assert.deepEqual(of("positionStored").at(-1)!.position, positions[3]);
  });

  test("tells of a transaction's messages when it has committed, and not if it is rolled back", async () => {
    await writeCounted(db.sql, "committed", 3);
    const { events, onEvent } = observing();
    const consumer: Consumer<typeof db.sql> = {
      category: "committed",
      consumerId: "it",
      transactional: true,
      onEvent,
      handle: ({ data }) => {
        assert.deepEqual(events.filter(({ type }) => type === "handled"), []);
        if (data === 2) throw new Error("two");
      },
    };
    await assert.rejects(drain(db.sql, consumer), { name: "HandlerFailedError" });
    const handled = events.filter((it) => it.type === "handled");
    assert.deepEqual(handled.flatMap(({ messages }) => messages.map(({ data }) => data)), [0, 1]);
    assert.equal(typesOf(events).at(-1), "error");
  });

  test.each([
    ["throws", () => {
      throw new Error("observer");
    }],
    ["rejects", () => Promise.reject(new Error("observer"))],
  ])("cannot break the consumer if it %s", async (what, onEvent) => {
    await writeCounted(db.sql, `broken${what}`, 3);
    const consumer = { category: `broken${what}`, consumerId: "it", onEvent, handle() {} };
    assert.equal((await drain(db.sql, consumer as Consumer)).handled, 3);
  });

  test("tells which process has lost its claim", async () => {
    const { events, onEvent } = observing();
    const running = start(db.sql, {
      category: "lost",
      consumerId: "it",
      onEvent,
      handle() {},
    });
    await until(() => typesOf(events).includes("claimTaken"));
    await write(db.sql, "lost:position-it", {
      type: "Recorded",
      data: { position: 0 },
      metadata: { owner: "another", leaseDuration: 30_000, answers: true },
    });
    await until(() => typesOf(events).includes("claimLost"));
    await running.stop();
  });
});

test("consume() calls onCaughtUp when it has handled what was there, and again after more", async () => {
  await writeCounted(db.sql, "caught", 5, { streams: 3 });
  const seen: unknown[] = [];
  const calls: number[] = [];
  const ending = new AbortController();
  const running = consume(db.sql, {
    category: "caught",
    consumerId: "it",
    consumerGroup: { size: 3 },
    pollInterval: 20,
    handle: ({ data }) => void seen.push(data),
  }, { signal: ending.signal, onCaughtUp: () => calls.push(seen.length) });
  await until(() => calls.at(-1) === 5);
  await writeCounted(db.sql, "caught", 1, { from: 5 });
  await until(() => calls.at(-1) === 6);
  ending.abort();
  await running;
});
