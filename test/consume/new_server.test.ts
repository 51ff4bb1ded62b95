import assert from "node:assert/strict";
import type postgres from "postgres";
import { describe, test } from "vitest";
import {
  aggregate,
  type Consumer,
  type ConsumerEvent,
  drain,
  type Handler,
  readAggregate,
  readStream,
  write,
} from "../../mod.ts";
import { rewind } from "../../src/operate/mod.ts";
import { useDatabase } from "../database.ts";
import { until } from "../_until.ts";
import { type Running, start, stored } from "./_consuming.ts";
import {
  effectsIn,
  insert,
  LAST_MESSAGES,
  primary,
  replicate,
  routed,
  standby,
  writeMany,
} from "./_two_servers.ts";

const letters = { category: "account", consumerId: "letters" } as const;
const POSITIONS = "account:position-letters";
const WRITE = "write_message(";

/** A consumer that notes what it handles, and of what it is told. */
function noting(more: object = {}) {
  const handled: string[] = [];
  const told: unknown[] = [];
  const consumer: Consumer = {
    ...letters,
    handle: ({ id }) => void handled.push(id),
    onRetry: (error) => told.push(error),
    ...more,
  };
  return { handled, told, consumer };
}

/** A handle to the primary, and to the standby once some statements that hold the text were sent. */
function routedAfter(text: string, count = 1) {
  let sent = 0;
  const { sql, failOver } = routed((statement) => {
    if (sent >= count) failOver();
    if (statement.includes(text)) sent++;
  });
  return sql;
}

/** Waits until it is so; rejects as the consumer does if that ends. */
async function whileRunning(
  { done }: Running,
  isSo: () => boolean | Promise<boolean>,
): Promise<void> {
  let isOver = false;
  done.catch(() => {}).finally(() => isOver = true);
  await until(async () => isOver || await isSo());
  if (isOver) await done;
}

function includesAll(ids: readonly string[], wanted: readonly string[]): boolean {
  return wanted.every((id) => ids.includes(id));
}

test("no consumer ends, whichever statement after a failover meets a lost connection", async () => {
  await writeMany(primary.sql, "account-1", 5);
  const all = Array.from({ length: 24 }, (_, at) => {
    const noted = noting({ consumerId: `letters${at}`, exclusive: at % 2 === 0 });
    const lostAt = Math.floor(at / 2);
    let sent: number | undefined;
    const { sql, failOver } = routed(() => {
      if (sent === undefined || sent++ !== lostAt) return;
      throw Object.assign(new Error("write CONNECTION_CLOSED"), { code: "CONNECTION_CLOSED" });
    });
    const leave = () => {
      sent = 0;
      failOver();
    };
    return { noted, leave, running: start(sql, noted.consumer) };
  });
  await until(() => all.every(({ noted }) => noted.handled.length === 5));
  await replicate();
  for (const { leave } of all) leave();
  const fresh = await writeMany(standby.sql, "account-1", 3);
  for (const { noted, running } of all) {
    await whileRunning(running, () => includesAll(noted.handled, fresh));
    await running.stop();
  }
});

describe("a position beyond the end of the new server", () => {
  /** Handles 20 messages of the primary; answers the ids of 3 other ones on the standby. */
  async function begin({ consumer, handled }: ReturnType<typeof noting>): Promise<string[]> {
    await writeMany(primary.sql, "account-1", 20);
    await drain(primary.sql, consumer);
    handled.length = 0;
    return await writeMany(standby.sql, "account-2", 3);
  }

  test.each(["$all", "account"])("is not gone on from by drain() of %s", async (category) => {
    const noted = noting({ category });
    const fresh = await begin(noted);
    await drain(routedAfter(LAST_MESSAGES), noted.consumer);
    assert.deepEqual(noted.handled, fresh);
  });

  test.each<[string, string, string, number]>([
    ["any process", "$all", LAST_MESSAGES, 2],
    ["any process", "account", LAST_MESSAGES, 2],
    ["the process that has claimed it", "$all", WRITE, 1],
    ["the process that has claimed it", "account", WRITE, 1],
  ])("is not gone on from by consume() by %s, of %s", async (who, category, text, count) => {
    const noted = noting({ category, exclusive: who !== "any process" });
    const fresh = await begin(noted);
    const running = start(routedAfter(text, count), noted.consumer);
    await whileRunning(running, () => includesAll(noted.handled, fresh));
    await running.stop();
    assert.deepEqual(noted.handled, fresh);
  });

  test("is not gone on from by aggregate()", async () => {
    const ledger = { name: "ledger", from: ["account"], partition: () => 0 } as const;
    await writeMany(primary.sql, "account-1", 20);
    await aggregate(primary.sql, ledger, { once: true });
    const fresh = await writeMany(standby.sql, "account-2", 3);
    await aggregate(routedAfter(LAST_MESSAGES), ledger, { once: true });
    assert.deepEqual((await readAggregate(standby.sql, "ledger")).map(({ id }) => id), fresh);
  });
});

test.each(["reaction-1", "account:parked-letters"])(
  "a consumer does again what the new server lacks in %s, though it has all messages",
  async (streamName) => {
    let isReplicated = false;
    let isLost = false;
    const { sql, failOver } = routed((statement) => {
      if (isLost) failOver();
      isLost ||= isReplicated && statement.includes(WRITE);
    });
    const first = await writeMany(primary.sql, "account-1", 1);
    const handled: string[] = [];
    const running = start(sql, {
      ...letters,
      positionUpdateInterval: 1,
      onError: "park",
      handle: async ({ id }) => {
        handled.push(id);
        if (handled.length === 2) {
          await replicate();
          isReplicated = true;
        }
        if (streamName !== "reaction-1") throw new Error("Refused");
        await write(sql, streamName, { type: "Reacted", data: { message: { id } } });
      },
    });
    const done = async () => {
      const written = await readStream<{ message: { id: string } }>(standby.sql, streamName);
      return written.map(({ data }) => data.message.id);
    };
    await until(async () => (await stored(primary.sql, POSITIONS)).includes(1));
    const second = await writeMany(primary.sql, "account-1", 1);
    await until(() => isLost);
    const third = await writeMany(standby.sql, "account-1", 1);
    await whileRunning(running, async () => includesAll(await done(), third));
    await running.stop();
    assert.deepEqual(await done(), [...first, ...second, ...third]);
  },
);

test("consume() waits where another process has claimed the position before it went back", async () => {
  let isLost = false;
  const { handled, told, consumer } = noting({
    onEvent: ({ type }: ConsumerEvent) => isLost ||= type === "claimLost",
  });
  const other = noting();
  let second: Running | undefined;
  const { sql, failOver } = routed(async (statement) => {
    if (told.length === 0 || second || !statement.includes(WRITE)) return;
    second = start(standby.sql, other.consumer);
    await until(async () => (await stored(standby.sql, POSITIONS)).length > 0);
  });
  await writeMany(primary.sql, "account-1", 5);
  const running = start(sql, consumer);
  await until(() => handled.length === 5);
  const fresh = await writeMany(standby.sql, "account-2", 3);
  failOver();
  await whileRunning(running, () => isLost && includesAll(other.handled, fresh));
  await second!.stop();
  const later = await writeMany(standby.sql, "account-2", 3);
  await whileRunning(running, () => includesAll(handled, later));
  await running.stop();
});

test("consume() that is about to claim goes on where the new server has another record at the version", async () => {
  const { handled, consumer } = noting();
  await writeMany(primary.sql, "account-1", 5);
  await replicate();
  await drain(primary.sql, consumer);
  await drain(standby.sql, consumer);
  await writeMany(primary.sql, "account-1", 5);
  const fresh = await writeMany(standby.sql, "account-2", 5);
  handled.length = 0;
  const { sql, failOver } = routed((statement) => statement.includes(WRITE) && failOver());
  const running = start(sql, consumer);
  await whileRunning(running, () => includesAll(handled, fresh));
  await running.stop();
  assert.deepEqual(handled, fresh);
});

test.each([false, true])(
  "a transactional consumer handles nothing that another process has handled on the new server, exclusive: %s",
  async (exclusive) => {
    const handle: Handler<postgres.TransactionSql> = (message, { sql }) => insert([message], sql);
    const consumer = {
      ...letters,
      transactional: true,
      exclusive,
      commitInterval: 0,
      handle,
    } as const;
    const written = await writeMany(primary.sql, "account-1", 5);
    await replicate();
    let begun = 0;
    const { sql, failOver } = routed(async (statement) => {
      if (statement !== "begin" || ++begun !== 3) return;
      await drain(standby.sql, consumer);
      failOver();
    });
    await drain(sql, consumer);
    assert.deepEqual(await effectsIn(standby), written);
  },
);

test("a consumer by any process is told of no loss where another process has recorded, and the store has another name", async () => {
  const { handled, told, consumer } = noting({ exclusive: false });
  for (let before = 1; before <= 6; before++) {
    await primary.sql`truncate message_store.messages restart identity`;
    await writeMany(primary.sql, "account-1", 5);
    let statements = 0;
    const { sql } = routed(async () => {
      if (++statements !== before) return;
      await drain(primary.sql, consumer);
      await primary.sql`vacuum full message_store.messages`;
    });
    const running = start(sql, consumer);
    await until(() => statements > before);
    const later = await writeMany(primary.sql, "account-1", 1);
    await whileRunning(running, () => includesAll(handled, later));
    await running.stop();
    assert.deepEqual(told, [], `before statement ${before}`);
  }
});

test.each([
  ["lacks the last record", false],
  ["has everything", true],
])(
  "consume() handles nothing where another process has claimed the position on the new server, which %s",
  async (_, hasAll) => {
    let isLost = false;
    const { handled, consumer } = noting({
      onEvent: ({ type }: ConsumerEvent) => isLost ||= type === "claimLost",
    });
    const written = await writeMany(primary.sql, "account-1", 3);
    await replicate();
    const { sql, failOver } = routed();
    const running = start(sql, consumer);
    await until(async () => (await stored(primary.sql, POSITIONS)).includes(3));
    if (hasAll) await replicate();
    await write(standby.sql, POSITIONS, {
      type: "Recorded",
      data: { position: 3 },
      metadata: { owner: "other", leaseDuration: 3_600_000 },
    });
    await writeMany(standby.sql, "account-1", 3);
    failOver();
    await whileRunning(running, () => isLost || handled.length > 3);
    await running.stop();
    assert.deepEqual(handled, written);
  },
);

test("consume() ends without an error where the new server lacks the claim that it gives back", async () => {
  const { consumer } = noting({ pollInterval: 60_000 });
  await writeMany(primary.sql, "account-1", 3);
  await replicate();
  const { sql, failOver } = routed();
  const running = start(sql, consumer);
  await until(async () => (await stored(primary.sql, POSITIONS)).includes(3));
  failOver();
  await running.stop();
});

test("a claim is told once, though the position was set just before it", async () => {
  let pages = 0;
  let claims = 0;
  let writes = 0;
  const { consumer } = noting();
  await writeMany(primary.sql, "account-1", 3);
  await drain(primary.sql, consumer);
  await writeMany(primary.sql, "account-1", 3);
  const { sql } = routed(async (statement) => {
    if (!statement.includes(WRITE)) return;
    writes++;
    if (writes === 1) await rewind(primary.sql, letters, "beginning");
    // The second claim is slow: the next round comes to its own.
    if (writes === 2) await until(() => pages >= 2);
  });
  await drain(sql, {
    ...consumer,
    onEvent: ({ type }) => {
      if (type === "pageRead") pages++;
      if (type === "claimTaken") claims++;
    },
  });
  assert.equal(claims, 1);
});

describe("a third server", () => {
  const third = useDatabase();

  test("may take over while a consumer goes back on the second", async () => {
    const { handled, told, consumer } = noting({ positionUpdateInterval: 1 });
    let later: string[] = [];
    let statements = 0;
    const { sql, failOver } = routed(async () => {
      // After the look at the position stream of the second server.
      if (told.length === 0 || ++statements !== 2) return;
      failOver(third);
      later = await writeMany(third.sql, "account-3", 3);
    });
    await writeMany(primary.sql, "account-1", 5);
    await replicate([], third);
    const running = start(sql, consumer);
    await until(async () => (await stored(primary.sql, POSITIONS)).includes(5));
    await replicate();
    await writeMany(primary.sql, "account-1", 5);
    await until(() => handled.length === 10);
    await writeMany(standby.sql, "account-2", 20);
    failOver();
    await whileRunning(running, () => later.length > 0 && includesAll(handled, later));
    await running.stop();
  });
});
