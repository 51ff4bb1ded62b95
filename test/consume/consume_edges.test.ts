/** What consumers do where others are in their way: at the end, behind a gap, in another's stream. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import process from "node:process";
import { describe, onTestFinished, test } from "vitest";
import {
  aggregate,
  type AggregatedMessage,
  consume,
  type Consumer,
  ConsumerBehindError,
  drain,
  HandlerFailedError,
  type Message,
  readAggregate,
  readLastMessage,
  readStream,
  replayParked,
  type Sql,
  subscribe,
  waitFor,
  write,
  writeBatch,
} from "../../mod.ts";
import { gate, start, startProxy, stored, writeCounted } from "./_consuming.ts";
import { until } from "../_until.ts";
import { openHandle, useDatabase } from "../database.ts";

const db = useDatabase();

/** A handle that does something else with the statements that hold a text. */
function intercepting(text: string, instead: (send: () => PromiseLike<unknown>) => unknown): Sql {
  const sql = db.connect();
  const handle: Sql = (strings, ...parameters) => {
    const send = () => sql(strings, ...parameters);
    return (strings.join("?").includes(text) ? instead(send) : send()) as ReturnType<Sql>;
  };
  return handle;
}

test("two that start at the end at the same time lose nothing that comes between", async () => {
  await write(db.sql, "end-1", { type: "Old" });
  const asked = gate();
  const answered = gate();
  let isFirst = true;
  // It finds no position, and then looks for the end, for long.
  const slow = intercepting("order by global_position desc", async (send) => {
    if (!isFirst) return await send();
    isFirst = false;
    asked.open();
    await answered.opened;
    return await send();
  });
  const seen: unknown[] = [];
  const consumer = {
    category: "end",
    consumerId: "it",
    startAt: "end",
    handle: ({ data }: Message) => void seen.push(data),
  } as const;
  const second = start(slow, consumer);
  await asked.opened;
  await drain(db.sql, consumer);
  await writeBatch(db.sql, "end-1", [0, 1, 2, 3, 4].map((data) => ({ type: "New", data })));
  answered.open();
  await until(() => seen.length === 5);
  await second.stop();
  assert.deepEqual(seen, [0, 1, 2, 3, 4]);
});

test("a member stays with the process whose every transaction is longer than its lease", async () => {
  const handled: string[] = [];
  const run = (who: string) =>
    start(db.connect({ max: 3 }), {
      category: "long",
      consumerId: "it",
      consumerGroup: { size: 1 },
      leaseDuration: 200,
      transactional: true,
      handle: async ({ data }: Message, { sql }) => {
        await sql`select pg_sleep(0.3)`;
        handled.push(`${who}${data}`);
      },
    });
  const a = run("a");
  await until(async () => (await stored(db.sql, "long:position-it+0+1")).length > 0);
  const b = run("b");
  const positions = await writeCounted(db.sql, "long", 8);
  await until(async () =>
    (await stored(db.sql, "long:position-it+0+1")).at(-1) === positions.at(-1)
  );
  await Promise.all([a.stop(), b.stop()]);
  assert.deepEqual(handled, positions.map((_, data) => `a${data}`));
});

test("a handler whose own database is down follows the policy, after some tries", async () => {
  await writeCounted(db.sql, "other", 1);
  const down = Object.assign(new Error("write CONNECTION_CLOSED"), { code: "CONNECTION_CLOSED" });
  let attempts = 0;
  const { handled } = await drain(db.sql, {
    category: "other",
    consumerId: "it",
    onError: "park",
    handle: () => {
      attempts++;
      throw down;
    },
  });
  assert.deepEqual([handled, attempts], [1, 6]);
  assert.equal((await readStream(db.sql, "other:parked-it")).length, 1);
});

test("nobody is caught up while a missing position may still come", async () => {
  const writer = await db.connect({ fetch_types: true }).reserve();
  await writer`begin`;
  await write(writer, "open-1", { type: "Open" });
  const { data } = { data: crypto.randomUUID() };
  await write(db.sql, "behind-1", { type: "Behind", data });
  const consumer = { category: "$all", consumerId: "gap", types: ["Open", "Behind"] };
  const seen: string[] = [];
  const handle = ({ type }: Message) => void seen.push(type);
  assert.equal((await drain(db.sql, { ...consumer, handle })).caughtUp, false);

  const ending = new AbortController();
  let caughtUp = 0;
  const messages = subscribe(db.sql, "$all", {
    types: ["Open", "Behind"],
    signal: ending.signal,
    onCaughtUp: () => caughtUp++,
  });
  const first = messages.next();
  assert.equal((await drain(db.sql, { ...consumer, handle })).caughtUp, false);
  assert.equal(caughtUp, 0);
  await writer`commit`;
  writer.release();
  assert.equal((await first).value!.type, "Open");
  assert.equal((await messages.next()).value!.type, "Behind");
  const last = messages.next();
  await until(() => caughtUp === 1);
  ending.abort();
  await last;
  assert.equal((await drain(db.sql, { ...consumer, handle })).caughtUp, true);
  assert.deepEqual(seen, ["Open", "Behind"]);
});

test("a database that does not answer keeps nobody longer than they want", async () => {
  const never = intercepting("", () => new Promise(() => {}));
  const consumer = { category: "never", consumerId: "it" };
  const options = { deadline: Date.now(), signal: AbortSignal.abort() };
  assert.deepEqual(
    await drain(never, { ...consumer, handle: () => {}, shutdownTimeout: 10 }, options),
    { handled: 0, position: 0, caughtUp: false, busy: false },
  );
  await assert.rejects(waitFor(never, consumer, 1, { timeout: 0 }), ConsumerBehindError);
});

test("of all streams, a stream of one's own of the type position is handled, a consumer's is not", async () => {
  await write(db.sql, "portfolio:position-1", { type: "Bought" });
  await drain(db.sql, {
    category: "portfolio:position",
    consumerId: "it",
    consumerGroup: { size: 1 },
    onError: "park",
    handle: () => Promise.reject(new Error("no")),
  });
  const seen = new Set<string>();
  const handle = ({ streamName, type }: Message) => void seen.add(`${type} ${streamName}`);
  await drain(db.sql, { category: "$all", consumerId: "own", handle });
  assert.ok(seen.has("Bought portfolio:position-1"));
  assert.deepEqual([...seen].filter((it) => /^(Recorded|Sized|Waiting|Parked) /.test(it)), []);

  const from = ["portfolio:position", "portfolio:position+%"];
  await aggregate(db.sql, { name: "trades", from, partition: () => 0 }, { once: true });
  const all = await readAggregate(db.sql, "trades");
  assert.deepEqual(all.map(({ type }) => type), ["Bought"]);
});

describe("an onRetry that throws ends the consumer with its error", () => {
  const ways = {
    "a position that is stored": async (category: string) => {
      await writeCounted(db.sql, category, 1);
    },
    "the answer to a question": async (category: string) => {
      const data = { version: 0, owner: crypto.randomUUID() };
      await write(db.sql, `${category}:claim-it`, { type: "Claimed", data });
    },
  };
  const thrower = () => {
    throw new Error("from onRetry");
  };

  /** A handle whose writes fail when they are told to. */
  function losingWrites() {
    const state = { isLost: false };
    const lost = Object.assign(new Error("gone"), { code: "CONNECTION_CLOSED" });
    const sql = intercepting(
      "write_message",
      (send) => state.isLost ? Promise.reject(lost) : send(),
    );
    const rejections: unknown[] = [];
    const onRejection = (error: unknown) => rejections.push(error);
    process.on("unhandledRejection", onRejection);
    onTestFinished(() => void process.off("unhandledRejection", onRejection));
    return { state, sql, rejections };
  }

  for (const [what, happen] of Object.entries(ways)) {
    test(`at ${what}`, async () => {
      const category = `throwing${what.replaceAll(" ", "")}`;
      const { state, sql, rejections } = losingWrites();
      const running = start(sql, {
        category,
        consumerId: "it",
        handle: () => {},
        onRetry: thrower,
        shutdownTimeout: 10,
      });
      await until(async () => (await stored(db.sql, `${category}:position-it`)).length === 1);
      state.isLost = true;
      await happen(category);
      await assert.rejects(running.done, { message: "from onRetry" });
      assert.deepEqual(rejections, []);
    });
  }

  test("at the renewal of the claim of drain()", async () => {
    await writeCounted(db.sql, "throwingdrain", 1);
    const { state, sql, rejections } = losingWrites();
    const thrown = gate();
    const draining = drain(sql, {
      category: "throwingdrain",
      consumerId: "it",
      leaseDuration: 100,
      handle: async () => {
        state.isLost = true;
        await thrown.opened;
      },
      onRetry: () => {
        thrown.open();
        thrower();
      },
    });
    await assert.rejects(draining, { message: "from onRetry" });
    assert.deepEqual(rejections, []);
  });
});

test("the handler's error is thrown, though the position cannot be stored either", async () => {
  await writeCounted(db.sql, "full", 2);
  const full = Object.assign(new Error("disk full"), { code: "P0002" });
  let writes = 0;
  // The claim is stored, and nothing after it.
  const sql = intercepting(
    "write_message",
    (send) => writes++ === 0 ? send() : Promise.reject(full),
  );
  const handle = ({ data }: Message) => {
    if (data === 1) throw new Error("no");
  };
  const consumer = { category: "full", consumerId: "it", handle };
  await assert.rejects(drain(sql, consumer), HandlerFailedError);
  assert.equal(writes, 2);
  // Without a claim, nothing is handled, and the error is that of the claim.
  await assert.rejects(drain(sql, { ...consumer, consumerId: "unclaimed" }), full);
});

test("an answer to a claim that is lost leaves the claim to the process that has it", async () => {
  const [position] = await writeCounted(db.sql, "lostclaim", 1);
  for (const way of ["consume", "drain", "drain from the end"]) {
    const proxy = await startProxy(db.url);
    const sql = openHandle(proxy.url, { max: 2, prepare: false, fetch_types: false });
    onTestFinished(async () => {
      await sql.end({ timeout: 1 });
      await proxy.close();
    });
    const seen = gate();
    const codes: unknown[] = [];
    const consumer: Consumer = {
      category: "lostclaim",
      consumerId: way,
      leaseDuration: 600_000,
      ...(way === "drain from the end" && { startAt: "end" }),
      onRetry: (error) => codes.push((error as { code?: unknown }).code),
      handle: () => seen.open(),
    };
    proxy.loseAnswerTo("recorded");
    if (way === "consume") {
      const running = start(sql, consumer);
      await Promise.race([seen.opened, running.done]);
      await running.stop();
    } else {
      const { caughtUp, busy } = await drain(sql, consumer);
      assert.deepEqual([caughtUp, busy], [true, false]);
    }
    assert.deepEqual([proxy.lost, codes], [1, ["CONNECTION_CLOSED"]], way);
    const recorded = await readStream(db.sql, `lostclaim:position-${way}`);
    const owners = recorded.map(({ metadata }) => metadata?.["owner"]);
    assert.deepEqual(owners, [owners[0], owners[0], undefined], way);
    assert.deepEqual(recorded.at(-1)!.data, { position }, way);
  }
});

test("a consumer that is told to end at any statement leaves no claim", async () => {
  let at = 0;
  let sent = 0;
  let ending = new AbortController();
  const sql = db.connect({
    max: 3,
    fetch_types: false,
    debug: () => void (sent++ === at && ending.abort()),
  });
  await sql`select 1`;
  for (const way of ["consume", "consume the end", "drain", "drain the end"]) {
    for (const transactional of [false, true]) {
      at = 0;
      do {
        const category = `told${way.replaceAll(" ", "")}${transactional}${at}`;
        await writeCounted(db.sql, category, 3);
        sent = 0;
        ending = new AbortController();
        const { signal } = ending;
        const consumer = {
          category,
          consumerId: "it",
          pollInterval: 10,
          transactional,
          positionUpdateInterval: 1,
          ...(way.endsWith("end") && { startAt: "end" }),
          handle: () => {},
        } as Consumer;
        await (way.startsWith("drain")
          ? drain(sql, consumer, { signal })
          : consume(sql, consumer, { signal, onCaughtUp: () => ending.abort() }));
        const last = await readLastMessage(db.sql, `${category}:position-it`);
        assert.equal(last?.metadata ?? null, null, category);
      } while (sent > at++);
      assert.ok(at > 5, String(at));
    }
  }
});

test("a lost lease aborts the handler's signal in drain(), too", async () => {
  await writeCounted(db.sql, "stolen", 1);
  const name = "stolen:position-it+0+1";
  const drained = await drain(db.connect(), {
    category: "stolen",
    consumerId: "it",
    consumerGroup: { size: 1 },
    leaseDuration: 100,
    handle: async (_, { signal }) => {
      const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve));
      const metadata = { owner: crypto.randomUUID(), leaseDuration: 60_000 };
      await write(db.sql, name, { type: "Recorded", data: { position: 0 }, metadata });
      await aborted;
    },
  });
  assert.deepEqual([drained.handled, drained.caughtUp], [0, false]);
});

describe("a lease that is lost while the database is away is no failure of the handler", () => {
  /** Takes the lease over, as another process does when this one was not heard of. */
  async function steal(category: string): Promise<void> {
    const metadata = { owner: crypto.randomUUID(), leaseDuration: 60_000 };
    const recorded = { type: "Recorded", data: { position: 0 }, metadata };
    await write(db.sql, `${category}:position-it+0+1`, recorded);
  }

  for (const onError of ["stop", "skip", "park"] as const) {
    test(`which the policy "${onError}" has no part in`, async () => {
      const category = `away${onError}`;
      await writeCounted(db.sql, category, 2);
      let handled = 0;
      const drained = await drain(db.connect(), {
        category,
        consumerId: "it",
        consumerGroup: { size: 1 },
        leaseDuration: 60_000,
        onError,
        handle: async () => {
          handled++;
          await steal(category);
          throw Object.assign(new Error("The connection is lost"), { code: "CONNECTION_CLOSED" });
        },
      });
      assert.deepEqual([drained.handled, drained.caughtUp, handled], [0, false, 1]);
      assert.equal(await readLastMessage(db.sql, `${category}:parked-it`), null);
    });
  }

  test.each([
    ["message", 0, 1],
    ["page", 60_000, 2],
  ])(
    "of a transactional consumer that loses it as it records the position of a %s",
    async (...[what, commitInterval, calls]) => {
      const category = `recording${what}`;
      await writeCounted(db.sql, category, 2);
      let asked = 0;
      let handled = 0;
      const drained = await drain(db.connect({ max: 3 }), {
        category,
        consumerId: "it",
        consumerGroup: { size: 1 },
        leaseDuration: 60_000,
        transactional: true,
        commitInterval,
        onError: () => {
          asked++;
          return "retry";
        },
        handle: async () => {
          if (handled++ === 0) await steal(category);
        },
      });
      assert.deepEqual([drained.handled, drained.caughtUp, handled, asked], [0, false, calls, 0]);
    },
  );
});

describe("an aggregate's parked message", () => {
  test("is handled again with its reference", async () => {
    await write(db.sql, "parked-1", { type: "Odd" });
    await aggregate(db.sql, { name: "refers", from: ["parked"], partition: () => 3 }, {
      once: true,
    });
    const references: unknown[] = [];
    const consumer = {
      aggregate: "refers",
      consumerId: "it",
      onError: "park",
      handle: ({ reference }: AggregatedMessage) => {
        references.push(reference);
        if (references.length === 1) throw new Error("not yet");
      },
    } as const;
    await drain(db.sql, consumer);
    assert.deepEqual(await replayParked(db.sql, consumer), { replayed: 1, parked: 0, busy: false });
    assert.deepEqual(references[1], references[0]);
    assert.equal((references[0] as { streamName: string }).streamName, "refers-3");
  });
});

test("many members and many lanes leave one listener on the caller's signal, and then none", async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on("warning", onWarning);
  await writeCounted(db.sql, "many", 40, { streams: 40 });
  const ending = new AbortController();
  const attempts = new Set<unknown>();
  const done = consume(db.connect({ max: 4 }), {
    category: "many",
    consumerId: "it",
    consumerGroup: { size: 16 },
    concurrency: 20,
    onError: { retry: 1, delay: 20, then: "skip" },
    handle: ({ data }, { attempt }) => {
      attempts.add(`${data} ${attempt}`);
      throw new Error("no");
    },
  }, { signal: ending.signal });
  await until(() => attempts.size === 80);
  assert.equal(getEventListeners(ending.signal, "abort").length, 1);
  ending.abort();
  await done;
  assert.deepEqual(getEventListeners(ending.signal, "abort"), []);
  process.off("warning", onWarning);
  assert.deepEqual(warnings, []);
});

test("a deadline that is a duration is refused, and leaves no listener on the signal", async () => {
  const consumer = { category: "durations", consumerId: "it", handle: () => {} };
  const { signal } = new AbortController();
  await assert.rejects(drain(db.sql, consumer, { deadline: 20_000, signal }), RangeError);
  assert.deepEqual(getEventListeners(signal, "abort"), []);
});
