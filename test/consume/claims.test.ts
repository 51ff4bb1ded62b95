import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, onTestFinished, test } from "vitest";
import {
  consume,
  type Consumer,
  type ConsumerEvent,
  drain,
  fromQuery,
  type Message,
  readLastMessage,
  readStream,
  streamVersion,
  write,
  writeBatch,
} from "../../mod.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { gate, start, stored, writeCounted } from "./_consuming.ts";

const db = useDatabase();

const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);

async function messagesInStore(): Promise<number> {
  const [row] = await db.sql`select count(*)::int as count from message_store.messages`;
  return row!.count;
}

/** Who has the position, by the stream's last message. */
async function ownerOf(streamName: string): Promise<unknown> {
  return (await readLastMessage(db.sql, streamName))?.metadata?.["owner"];
}

/** A handle that counts its statements. */
function counting() {
  const counted = { statements: 0 };
  const own = db.connect({ max: 4 });
  const sql = fromQuery((text, parameters) => {
    counted.statements++;
    return own.unsafe(text, parameters as string[]);
  });
  return Object.assign(counted, { sql });
}

/** A consumer that notes what it handles. */
function noting(category: string, more: object = {}) {
  const seen: number[] = [];
  const consumer: Consumer = {
    category,
    consumerId: "it",
    pollInterval: 20,
    leaseDuration: 400,
    positionUpdateInterval: 1,
    handle: ({ data }: Message) => void seen.push(data as number),
    ...more,
  };
  return { seen, consumer };
}

describe("an idle consumer", () => {
  test("writes nothing, nor do those that wait for it, for as long as 120 leases", async () => {
    const category = "idle";
    await writeCounted(db.sql, category, 16, { streams: 16 });
    const handles = numbers(5).map(counting);
    const often = { pollInterval: 1000, leaseDuration: 100 };
    const group = { consumerGroup: { size: 8 }, ...often };
    const running = handles.map(({ sql }, at) =>
      start(sql, noting(category, at < 3 ? group : often).consumer)
    );
    // Until the members are shared out, and those that came later know that the owners live.
    let before = -1;
    const isQuiet = async () => {
      const [then, statements] = [before, handles.map((it) => it.statements)];
      before = await messagesInStore();
      await until(() => handles.every((it, at) => it.statements > statements[at]! + 60));
      return then === await messagesInStore();
    };
    await until(isQuiet);
    // There are four looks in a lease.
    const statements = handles.map((it) => it.statements);
    await until(() => handles.every((it, at) => it.statements > statements[at]! + 480));
    assert.equal(await messagesInStore(), before);
    await Promise.all(running.map(({ stop }) => stop()));
  });

  test("that drains writes nothing if it finds nothing", async () => {
    const { consumer, seen } = noting("nothing");
    const before = await messagesInStore();
    const empty = { handled: 0, position: 0, caughtUp: true, busy: false };
    assert.deepEqual(await drain(db.sql, consumer), empty);
    assert.equal(await messagesInStore(), before);
    const [position] = await writeCounted(db.sql, "nothing", 1);
    await drain(db.sql, consumer);
    const after = await messagesInStore();
    const again = { handled: 0, position: position!, caughtUp: true, busy: false };
    assert.deepEqual(await drain(db.sql, consumer), again);
    assert.equal(await messagesInStore(), after);
    assert.deepEqual(seen, [0]);
  });
});

describe("a second process of a consumer", () => {
  test("waits, and takes over when the first ends", async () => {
    const first = noting("second");
    const second = noting("second");
    const running = start(db.sql, first.consumer);
    await until(async () => await ownerOf("second:position-it") !== undefined);
    const owner = await ownerOf("second:position-it");
    const waiting = start(db.connect({ max: 2 }), second.consumer);
    await writeCounted(db.sql, "second", 20, { streams: 4 });
    await until(() => first.seen.length === 20);
    assert.equal(await ownerOf("second:position-it"), owner);
    await running.stop();
    await writeCounted(db.sql, "second", 20, { streams: 4, from: 20 });
    await until(() => second.seen.length === 20);
    await waiting.stop();
    assert.deepEqual([...first.seen, ...second.seen], numbers(40));
  });

  test("takes over from one that was killed while it was idle, and handles what comes", async () => {
    const first = noting("killed");
    const sql = db.connect({ max: 2 });
    const killed = start(sql, first.consumer);
    await writeCounted(db.sql, "killed", 3);
    await until(async () => (await stored(db.sql, "killed:position-it")).at(-1)! > 0);
    await sql.end({ timeout: 0 });
    await assert.rejects(killed.done);
    const owner = await ownerOf("killed:position-it");
    const second = noting("killed");
    const heir = start(db.sql, second.consumer);
    await writeCounted(db.sql, "killed", 3, { from: 3 });
    await until(() => second.seen.includes(5));
    assert.notEqual(await ownerOf("killed:position-it"), owner);
    await heir.stop();
  });

  test("both handle all if the consumer is not exclusive", async () => {
    const both = [noting("shared", { exclusive: false }), noting("shared", { exclusive: false })];
    const held = gate();
    const consumers = both.map(({ consumer, seen }): Consumer => ({
      ...consumer,
      handle: async ({ data }) => {
        seen.push(data as number);
        await held.opened;
      },
    }));
    await writeCounted(db.sql, "shared", 1);
    const running = consumers.map((it) => start(db.sql, it));
    await until(() => both.every(({ seen }) => seen.length === 1));
    held.open();
    await Promise.all(running.map(({ stop }) => stop()));
    assert.equal(await ownerOf("shared:position-it"), undefined);
  });

  test("of drain() is told that it is busy, and handles nothing", async () => {
    await writeCounted(db.sql, "cron", 5);
    const begun = gate();
    const held = gate();
    const { consumer } = noting("cron");
    const first = drain(db.sql, {
      ...consumer,
      handle: async () => {
        begun.open();
        await held.opened;
      },
    });
    await begun.opened;
    const second = noting("cron");
    const busy = { handled: 0, position: 0, caughtUp: false, busy: true };
    assert.deepEqual(await drain(db.sql, second.consumer), busy);
    held.open();
    assert.equal((await first).handled, 5);
    assert.deepEqual(second.seen, []);
  });

  test("of drain() takes over from one that was killed, when that one's lease is over", async () => {
    await writeCounted(db.sql, "cronKilled", 2);
    const { consumer, seen } = noting("cronKilled");
    await write(db.sql, "cronKilled:position-it", {
      type: "Recorded",
      data: { position: 0 },
      metadata: { owner: "gone", leaseDuration: 300 },
    });
    await until(async () => !(await drain(db.sql, consumer)).busy);
    assert.deepEqual(seen, [0, 1]);
  });

  test("of drain() asks a consumer that was killed, and a later one takes over", async () => {
    await writeCounted(db.sql, "asked", 2);
    const { consumer, seen } = noting("asked");
    await write(db.sql, "asked:position-it", {
      type: "Recorded",
      data: { position: 0 },
      metadata: { owner: "gone", leaseDuration: 300, answers: true },
    });
    await until(async () => !(await drain(db.sql, consumer)).busy);
    assert.deepEqual(seen, [0, 1]);
    const questions = await readStream<{ version: number }>(db.sql, "asked:claim-it");
    assert.deepEqual(questions.map(({ data }) => data.version), [0]);
  });

  test("of drain() never takes over from a consumer that lives", async () => {
    const first = noting("lives", { leaseDuration: 300 });
    const held = gate();
    const running = start(db.sql, {
      ...first.consumer,
      handle: async ({ data }) => {
        first.seen.push(data as number);
        await held.opened;
      },
    });
    await writeCounted(db.sql, "lives", 2);
    await until(() => first.seen.length === 1);
    const second = noting("lives", { leaseDuration: 300 });
    // Ten times, it is asked and answers.
    await until(async () => {
      assert.equal((await drain(db.sql, second.consumer)).busy, true);
      return await streamVersion(db.sql, "lives:claim-it") >= 10;
    });
    held.open();
    await until(() => first.seen.length === 2);
    await running.stop();
    assert.deepEqual(second.seen, []);
  });
});

test("a claim is given back once, though the answer is lost", async () => {
  await writeCounted(db.sql, "backonce", 2);
  const { consumer } = noting("backonce", { positionUpdateInterval: 100 });
  let writes = 0;
  const sql = fromQuery(async (text, parameters) => {
    const rows = await db.sql.unsafe(text, parameters as string[]);
    if (text.includes("write_message(") && ++writes === 2) {
      throw Object.assign(new Error("write CONNECTION_CLOSED"), { code: "CONNECTION_CLOSED" });
    }
    return rows;
  });
  await drain(sql, consumer);
  const records = await readStream(db.sql, "backonce:position-it");
  assert.deepEqual(records.map(({ metadata }) => metadata !== null), [true, false]);
});

test.each(["consume", "drain"])("a claim from the future ends: %s", async (way) => {
  const category = `future${way}`;
  await writeCounted(db.sql, category, 2);
  await write(db.sql, `${category}:position-it`, {
    type: "Recorded",
    data: { position: 0 },
    metadata: { owner: "gone", leaseDuration: 300 },
  });
  // The clock of the server was set back since.
  await db.sql`
    update message_store.messages set time = time + interval '1 hour'
    where stream_name = ${`${category}:position-it`}`;
  const { consumer, seen } = noting(category);
  if (way === "drain") await drain(db.sql, consumer);
  else {
    const running = start(db.sql, consumer);
    await until(() => seen.length === 2);
    await running.stop();
  }
  assert.deepEqual(seen, [0, 1]);
});

describe("processes whose handlers block longer than a lease", () => {
  /** Starts a process, and answers the numbers that it says it has begun. */
  function startBlocking(category: string, transactional: boolean) {
    const program = fileURLToPath(new URL("_blocking_program.ts", import.meta.url));
    const argument = JSON.stringify({ url: db.url, category, transactional });
    const child = spawn(process.execPath, ["--import", "tsx", program, argument], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    const begun: number[] = [];
    createInterface(child.stdout).on("line", (line) => begun.push(Number(line)));
    return { child, begun };
  }

  test.each([false, true])("get on, transactional: %s", async (transactional) => {
    const category = `blocking${transactional}`;
    await db.sql`create table if not exists blocked (category text, number int)`;
    const positions = await writeCounted(db.sql, category, 6);
    const both = [startBlocking(category, transactional), startBlocking(category, transactional)];
    await until(async () =>
      (await stored(db.sql, `${category}:position-it`)).includes(positions.at(-1)!)
    );
    for (const { child } of both) child.kill("SIGTERM");
    await Promise.all(both.map(({ child }) => child.exitCode ?? once(child, "exit")));
    const begun = both.flatMap((it) => it.begun);
    // Each takes the other's place while the other is at its message, so each message comes a few times.
    assert.ok(begun.length <= 24, String(begun));
    if (!transactional) return;
    const effects = await db.sql`
      select number from blocked where category = ${category} order by number`;
    assert.deepEqual(effects.map(({ number }) => number), numbers(6));
  });
});

test("a position of a process that took over stays, however often it was recorded", async () => {
  const positions = await writeCounted(db.sql, "recorded", 3);
  const name = "recorded:position-it";
  const { consumer } = noting("recorded", {
    leaseDuration: 30_000,
    handle: async () => {
      const metadata = { owner: "another", leaseDuration: 30_000 };
      const recorded = (position: number) => ({ type: "Recorded", data: { position }, metadata });
      const claims = Array.from({ length: 1000 }, () => recorded(0));
      await writeBatch(db.sql, name, [...claims, recorded(positions[1]!)]);
    },
  });
  assert.equal((await drain(db.sql, consumer, { limit: 1 })).busy, true);
  assert.equal((await stored(db.sql, name)).at(-1), positions[1]);
});

describe("a position that an operator sets", () => {
  /** Sets it as an operator does: the owner stays. */
  async function set(streamName: string, position: number): Promise<void> {
    await until(async () => {
      const last = await readLastMessage(db.sql, streamName);
      const metadata = { ...last!.metadata, reset: true };
      try {
        await write(db.sql, streamName, { type: "Recorded", data: { position }, metadata }, {
          expectedVersion: last!.position,
        });
        return true;
      } catch (error) {
        if ((error as { code?: string }).code === "WRONG_EXPECTED_VERSION") return false;
        throw error;
      }
    });
  }

  test.each([
    ["idle", {}],
    ["a group's member", { consumerGroup: { member: 0, size: 1 } }],
    ["not exclusive", { exclusive: false }],
    ["transactional", { transactional: true }],
  ])("is where a running consumer goes on: %s", async (what, more) => {
    const category = `rewound${what.replaceAll(/\W/g, "")}`;
    const name = `${category}:position-it${"consumerGroup" in more ? "+0+1" : ""}`;
    const positions = await writeCounted(db.sql, category, 5);
    const { consumer, seen } = noting(category, more);
    const running = start(db.sql, consumer as Consumer<typeof db.sql>);
    await until(async () => (await stored(db.sql, name)).at(-1) === positions.at(-1));
    await set(name, positions[1]!);
    await until(() => seen.length === 8);
    await until(async () => (await stored(db.sql, name)).at(-1) === positions.at(-1));
    await set(name, 0);
    await until(() => seen.length === 13);
    await writeCounted(db.sql, category, 1, { from: 5 });
    await until(() => seen.includes(5));
    await running.stop();
    assert.deepEqual(seen, [0, 1, 2, 3, 4, 2, 3, 4, 0, 1, 2, 3, 4, 5]);
  });

  test("between the first page and the claim is where drain() goes on", async () => {
    const { consumer, seen } = noting("setfirst");
    await writeCounted(db.sql, "setfirst", 5);
    await drain(db.sql, consumer);
    await writeCounted(db.sql, "setfirst", 2, { from: 5 });
    let isSet = false;
    const sql = fromQuery(async (text, parameters) => {
      if (!isSet && text.includes("write_message(")) {
        isSet = true;
        await set("setfirst:position-it", 0);
      }
      return await db.sql.unsafe(text, parameters as string[]);
    });
    await drain(sql, consumer);
    assert.deepEqual(seen, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6]);
  });

  test.each([false, true])(
    "frees a consumer that hangs on a message, transactional: %s",
    async (transactional) => {
      const category = `hangs${transactional}`;
      const [first, second] = await writeCounted(db.sql, category, 3);
      const { consumer, seen } = noting(category);
      let tries = 0;
      const running = start(db.sql, {
        ...consumer,
        transactional,
        onError: { retry: 1000, delay: 3_600_000 },
        handle: ({ data }: Message) => {
          seen.push(data as number);
          if (data === 1) throw new Error(String(++tries));
        },
      } as Consumer<typeof db.sql>);
      await until(() => tries > 0);
      await until(async () => (await stored(db.sql, `${category}:position-it`)).at(-1) === first);
      await set(`${category}:position-it`, second!);
      await until(() => seen.includes(2));
      await running.stop();
      assert.equal(seen.at(-1), 2);
    },
  );

  test("counts, and not the transaction that was under way", async () => {
    const category = "under";
    await db.sql`create table under_way (number int)`;
    const positions = await writeCounted(db.sql, category, 3);
    const begun = gate();
    const held = gate();
    let statements = 0;
    const counted = new Proxy(db.connect({ max: 3 }), {
      apply: (target, self, parameters) => {
        statements++;
        return Reflect.apply(target, self, parameters);
      },
    });
    const running = start(counted, {
      category,
      consumerId: "it",
      transactional: true,
      handle: async ({ data }, { sql }) => {
        await sql`insert into under_way values (${data as number})`;
        begun.open();
        await held.opened;
      },
    });
    await begun.opened;
    await set(`${category}:position-it`, positions[1]!);
    // The consumer notices it while the handler is at its message.
    const before = statements;
    await until(() => statements > before + 4);
    held.open();
    await until(async () =>
      (await stored(db.sql, `${category}:position-it`)).at(-1) === positions[2]
    );
    await running.stop();
    const rows = await db.sql`select number from under_way order by number`;
    assert.deepEqual(rows.map(({ number }) => number), [2]);
  });

  test("counts, and not a transaction that begins while the consumer learns of it", async () => {
    const category = "learns";
    const name = `${category}:position-it`;
    const positions = await writeCounted(db.sql, category, 3);
    const learning = gate();
    let isSet = false;
    let looks = 0;
    let pages = 0;
    const sql = new Proxy(db.sql, {
      apply: async (target, self, parameters: Parameters<typeof db.sql>) => {
        // After the look that tells of news comes the look that moves the position.
        const isLook = isSet && String(parameters[0]).includes("as asked (stream_name)");
        if (isLook && ++looks === 2) await learning.opened;
        return await Reflect.apply(target, self, parameters);
      },
    });
    const { consumer, seen } = noting(category, {
      transactional: true,
      leaseDuration: 30_000,
      onEvent: ({ type }: ConsumerEvent) => void (type === "pageRead" && pages++),
    });
    const running = start(sql, consumer as Consumer<typeof sql>);
    await until(async () => (await stored(db.sql, name)).at(-1) === positions.at(-1));
    await set(name, 0);
    isSet = true;
    await until(() => looks === 2);
    const before = pages;
    await writeCounted(db.sql, category, 1, { from: 3 });
    await until(() => pages > before);
    learning.open();
    await writeCounted(db.sql, category, 1, { from: 4 });
    await until(() => seen.includes(4));
    await running.stop();
    assert.deepEqual(seen, [0, 1, 2, 0, 1, 2, 3, 4]);
  });
});

test("exclusive: false is refused where processes find their members by claims", async () => {
  const consumer = noting("refused", { exclusive: false, consumerGroup: { size: 2 } }).consumer;
  await assert.rejects(consume(db.sql, consumer), {
    name: "TypeError",
    message:
      'Cannot use false as "exclusive": it must be true for a consumerGroup without a member',
  });
});
