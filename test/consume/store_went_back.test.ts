import assert from "node:assert/strict";
import { expect, test } from "vitest";
import {
  aggregate,
  append,
  type Consumer,
  drain,
  fromQuery,
  iterateAll,
  type Message,
  readAggregate,
  readAll,
  readLastMessage,
  readMessage,
  readStream,
  type Sql,
  StoreWentBackError,
  subscribe,
  waitFor,
  write,
  writeBatch,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";
import { PATIENCE, until } from "../_until.ts";
import { gate, start } from "./_consuming.ts";

const db = useDatabase();

/** The last global position of the store. */
async function lastPosition(): Promise<number> {
  const [row] = await db.sql`
    select coalesce(max(global_position), 0)::int as last from message_store.messages`;
  return row!.last;
}

/** Takes the store back to a global position, as a backup that is restored does. */
async function takeBackTo(position: number): Promise<void> {
  await db.sql.begin(async (sql) => {
    await sql`delete from message_store.messages where global_position > ${position}`;
    await sql`select setval('message_store.messages_global_position_seq', ${position})`;
  });
}

async function writeMany(streamName: string, type: string, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => crypto.randomUUID());
  for (const id of ids) await write(db.sql, streamName, { id, type });
  return ids;
}

/** Follows a source until the loop ends, and keeps what it yields and how it ends. */
function follow(source: Parameters<typeof subscribe>[1], options = {}, sql: Sql = db.sql) {
  const seen: Message[] = [];
  const ending = new AbortController();
  let caughtUp = 0;
  const done = (async () => {
    const messages = subscribe(sql, source, {
      pollInterval: 20,
      signal: ending.signal,
      onCaughtUp: () => caughtUp++,
      ...options,
    });
    for await (const message of messages) seen.push(message as Message);
  })();
  done.catch(() => {});
  return { seen, done, stop: () => ending.abort(), caughtUp: () => caughtUp };
}

const isWentBack = { name: "StoreWentBackError", code: "STORE_WENT_BACK" };

test.each([["idle", 0], ["overtaken", 80]])(
  "consume() goes back with the store, and handles what is new: %s",
  async (_, count) => {
    const category = `consumed${count}`;
    const handled: string[] = [];
    const retried: unknown[] = [];
    const consumer: Consumer<typeof db.sql> = {
      category,
      consumerId: "letters",
      onRetry: (error) => retried.push(error),
      handle: ({ id }) => void handled.push(id),
    };
    const running = start(db.sql, consumer);
    const kept = await append(db.sql, `${category}-1`, { type: "Kept" });
    const lost = await writeMany(`${category}-1`, "Lost", 60);
    await until(() => handled.includes(lost.at(-1)!));
    await waitFor(db.sql, consumer, await lastPosition() - 1, { timeout: PATIENCE });

    await db.sql.begin(async (sql) => {
      await sql`
        delete from message_store.messages where global_position > ${kept.globalPosition}`;
      await sql`select setval('message_store.messages_global_position_seq', ${kept.globalPosition})`;
      for (let at = 0; at < count; at++) await write(sql, `${category}-1`, { type: "New" });
    });
    if (count === 0) await until(() => retried.length > 0);
    const fresh = [
      ...(await readStream(db.sql, `${category}-1`, { position: 1 })).map(({ id }) => id),
      ...await writeMany(`${category}-1`, "New", 40),
    ];
    await until(() => fresh.every((id) => handled.includes(id)));
    await running.stop();
    assert.ok(retried.length > 0);
    for (const error of retried) assert.ok(error instanceof StoreWentBackError);
    // The position is that of this store now.
    assert.equal((await drain(db.sql, consumer)).handled, 0);
    await writeMany(`${category}-1`, "Later", 1);
    assert.equal((await drain(db.sql, consumer)).handled, 1);
  },
);

test("consume() takes back a position that it stored after the store went back", async () => {
  const opened = gate();
  const handled: string[] = [];
  const consumer: Consumer<typeof db.sql> = {
    category: "trusting",
    consumerId: "letters",
    positionUpdateInterval: 1,
    handle: async ({ id, type }) => {
      handled.push(id);
      if (type === "Blocking") await opened.opened;
    },
  };
  await writeMany("trusting-1", "Kept", 5);
  await drain(db.sql, consumer);
  const running = start(db.sql, consumer);
  await until(async () =>
    (await readLastMessage(db.sql, "trusting:position-letters"))!.metadata !== null
  );
  const blocking = crypto.randomUUID();
  const types = ["Blocking", ...Array.from({ length: 20 }, () => "Lost")];
  await writeBatch(
    db.sql,
    "trusting-1",
    types.map((type) => type === "Blocking" ? { id: blocking, type } : { type }),
  );
  await until(() => handled.includes(blocking));
  const position = (await readMessage(db.sql, blocking))!.globalPosition;
  // The lost messages are in the page in hand, and the position stream has lost nothing.
  await takeBackTo(position);
  opened.open();
  await until(() => handled.length === 26);
  const fresh = await writeMany("trusting-1", "New", 30);
  await until(() => fresh.every((id) => handled.includes(id)));
  await running.stop();
  assert.equal((await drain(db.sql, consumer)).handled, 0);
});

test("a transactional consumer goes back, and each message takes effect once", async () => {
  await db.sql`create table effects (id text)`;
  const consumer: Consumer<typeof db.sql> = {
    category: "transacted",
    consumerId: "effects",
    transactional: true,
    handle: async ({ id }, { sql }) => void await sql`insert into effects values (${id})`,
  };
  const effects = async () => (await db.sql`select id from effects`).map(({ id }) => id);
  const running = start(db.sql, consumer);
  const kept = await writeMany("transacted-1", "Kept", 3);
  await until(async () => (await effects()).length === 3);
  const position = await lastPosition();
  const lost = await writeMany("transacted-1", "Lost", 40);
  await until(async () => (await effects()).length === 43);
  await db.sql.begin(async (sql) => {
    await sql`delete from effects where id in ${sql(lost)}`;
    await sql`delete from message_store.messages where global_position > ${position}`;
    await sql`select setval('message_store.messages_global_position_seq', ${position})`;
  });
  const fresh = await writeMany("transacted-1", "New", 60);
  await until(async () => (await effects()).length >= 63);
  await running.stop();
  assert.deepEqual((await effects()).toSorted(), [...kept, ...fresh].toSorted());
});

test.each([["transactional", true], ["plain", false]])(
  "a %s consumer handles again what the store has kept without what its handler wrote",
  async (kind, transactional) => {
    const opened = gate();
    const begun: string[] = [];
    const work = async ({ id, position }: Message, sql: Sql) => {
      begun.push(id);
      if (position === 10 && begun.length === 11) await opened.opened;
      await write(sql, `${kind}Effect-1`, { type: "Handled", data: { id } });
    };
    const common = {
      category: `${kind}Kept`,
      consumerId: "effects",
      positionUpdateInterval: 1,
    } as const;
    const consumer: Consumer<typeof db.sql> = transactional
      ? {
        ...common,
        transactional,
        commitInterval: 0,
        handle: (message, { sql }) => work(message, sql),
      }
      : { ...common, handle: (message, { sql }) => work(message, sql) };
    const ids = Array.from({ length: 20 }, () => crypto.randomUUID());
    await writeBatch(db.sql, `${kind}Kept-1`, ids.map((id) => ({ id, type: "Kept" })));
    const position = await lastPosition();
    const running = start(db.sql, consumer);
    await until(() => begun.length === 11);
    await until(async () =>
      (await readLastMessage<{ position: number }>(db.sql, `${kind}Kept:position-effects`))?.data
        .position === position - 10
    );
    // All messages are still there. The effects of ten of them are not.
    await takeBackTo(position);
    opened.open();
    const effects = async () =>
      (await readStream<{ id: string }>(db.sql, `${kind}Effect-1`)).map(({ data }) => data.id);
    await until(() => begun.length >= 31);
    await waitFor(db.sql, consumer, position, { timeout: PATIENCE });
    await running.stop();
    assert.deepEqual(new Set(await effects()), new Set(ids));
    if (transactional) assert.equal((await effects()).length, ids.length);
  },
);

test("the members of a group go back", async () => {
  const handled: string[] = [];
  const consumer: Consumer<typeof db.sql> = {
    category: "shared",
    consumerId: "letters",
    consumerGroup: { size: 2 },
    leaseDuration: 300,
    handle: ({ id }) => void handled.push(id),
  };
  const running = start(db.sql, consumer);
  await writeMany("shared-1", "Kept", 2);
  await writeMany("shared-2", "Kept", 2);
  await until(() => handled.length === 4);
  const position = await lastPosition();
  await writeMany("shared-1", "Lost", 30);
  await writeMany("shared-2", "Lost", 30);
  await until(() => handled.length === 64);
  await takeBackTo(position);
  const fresh = [
    ...await writeMany("shared-1", "New", 20),
    ...await writeMany("shared-2", "New", 20),
  ];
  await until(() => fresh.every((id) => handled.includes(id)));
  await running.stop();
});

test("aggregate() goes back, and refers to what is new", async () => {
  const ending = new AbortController();
  const retried: unknown[] = [];
  const ledger = {
    name: "ledger",
    from: ["ledgered"],
    partition: () => 0,
    pollInterval: 20,
    onRetry: (error: unknown) => retried.push(error),
  };
  const running = aggregate(db.sql, ledger, { signal: ending.signal });
  const references = async () => (await readAggregate(db.sql, "ledger")).map(({ id }) => id);
  const kept = await writeMany("ledgered-1", "Kept", 2);
  await until(async () => (await references()).length === 2);
  const position = await lastPosition();
  await writeMany("ledgered-1", "Lost", 30);
  await until(async () => (await references()).length === 32);
  await takeBackTo(position);
  const fresh = await writeMany("ledgered-1", "New", 40);
  await until(async () => (await references()).length === 42);
  ending.abort();
  await running;
  assert.deepEqual(await references(), [...kept, ...fresh]);
});

for (const overtaken of [false, true]) {
  test.each<[string, Parameters<typeof subscribe>[1]]>([
    ["a stream", "followed-1"],
    ["a category", "followed"],
    ["$all", "$all"],
    ["an aggregate", { aggregate: "copied" }],
  ])(
    `subscribe() to %s ends with an error when the store went back${overtaken ? " and on" : ""}`,
    async (_, source) => {
      const copy = () =>
        aggregate(
          db.sql,
          { name: "copied", from: ["followed"], partition: () => 0 },
          { once: true },
        );
      await writeMany("followed-1", "Kept", 1);
      await copy();
      const position = await lastPosition();
      const lost = await writeMany("followed-1", "Lost", 20);
      await copy();
      const { seen, done } = follow(source);
      await until(() => seen.some(({ id }) => id === lost.at(-1)));
      await db.sql.begin(async (sql) => {
        await sql`delete from message_store.messages where global_position > ${position}`;
        await sql`select setval('message_store.messages_global_position_seq', ${position})`;
        for (let at = 0; overtaken && at < 60; at++) {
          await write(sql, "followed-1", { type: "New" });
        }
      });
      await assert.rejects(done, isWentBack);
    },
  );
}

test.each(["inFlight-1", "inFlight", "$all"])(
  "subscribe() to %s notices a store that went back while the last position it saw is being written",
  async (source) => {
    await writeMany("inFlight-1", "Kept", 1);
    const position = await lastPosition();
    const [lost] = await writeMany("inFlight-1", "Lost", 1);
    let answers = 0;
    let ready = gate();
    ready.open();
    const waiting = fromQuery(async (text, parameters) => {
      await ready.opened;
      const rows = await db.sql.unsafe(text, parameters);
      answers++;
      return rows;
    });
    const { seen, done } = follow(source, {}, waiting);
    await until(() => seen.some(({ id }) => id === lost));

    ready = gate();
    await takeBackTo(position);
    const writer = db.connect({ max: 1 });
    await writer`begin`;
    await write(writer, "other-1", { type: "New" });
    const before = answers;
    ready.open();
    // The one before may have been under way.
    await Promise.race([until(() => answers >= before + 2), done]);
    await write(db.sql, "inFlight-1", { type: "New" });
    await writer`commit`;
    await assert.rejects(done, isWentBack);
  },
);

test("subscribe() goes on when the last message that it saw is deleted", async () => {
  for (const source of ["erased-1", "erased", "$all"]) {
    const { seen, done, stop, caughtUp } = follow(source, { startAt: "end", batchSize: 3 });
    await until(() => caughtUp() > 0);
    const [first] = await writeMany("erased-1", "First", 1);
    await until(() => seen.some(({ id }) => id === first));
    await db.sql`delete from message_store.messages where stream_name = 'erased-1'`;
    // The stream gives the position again.
    const [second] = await writeMany("erased-1", "Second", 1);
    await until(() => seen.some(({ id }) => id === second));
    await db.sql`delete from message_store.messages where id = ${second!}`;
    const rest = await writeMany("erased-1", "Rest", 7);
    await until(() => seen.length === 9);
    stop();
    await done;
    assert.deepEqual(seen.map(({ id }) => id), [first, second, ...rest]);
    await db.sql`delete from message_store.messages where stream_name = 'erased-1'`;
  }
});

test("subscribe() refuses a position that the store does not have", async () => {
  const { globalPosition: last } = await append(db.sql, "followed-1", { type: "Written" });
  for (const source of ["followed", "$all"]) {
    const { done } = follow(source, { startAt: last + 2 });
    await expect(done).rejects.toThrow(
      `Cannot go on after position ${last + 1}: the store went back to an earlier state, ` +
        "without the messages up to there: rebuild what was made of the lost messages",
    );
  }
});

test("readAll() forgets the gaps of a store that went back", async () => {
  const position = await lastPosition();
  await writeMany("gap-1", "Lost", 5);
  // A gap before this one is settled, and remembered.
  await db.sql`select nextval('message_store.messages_global_position_seq')`;
  await writeMany("gap-1", "Lost", 5);
  await readAll(db.sql, { position: position + 1 });
  await takeBackTo(position);

  const writer = db.connect({ max: 1 });
  await writer`begin`;
  const { globalPosition } = await append(writer, "late-1", { type: "Late" });
  await writeMany("gap-1", "New", 15);
  assert.deepEqual(await readAll(db.sql, { position: globalPosition }), []);
  await writer`commit`;
  const [first] = await readAll(db.sql, { position: globalPosition });
  assert.equal(first!.type, "Late");
});

test("iterateAll() ends with an error when the store goes back meanwhile", async () => {
  await writeMany("iterated-1", "Kept", 1);
  const position = await lastPosition();
  await writeMany("iterated-1", "Lost", 30);
  await assert.rejects(async () => {
    for await (const { globalPosition } of iterateAll(db.sql, { batchSize: 4 })) {
      if (globalPosition === position + 20) {
        await takeBackTo(position);
        await writeMany("iterated-1", "New", 40);
      }
    }
  }, isWentBack);
});

test("waitFor() rejects if the store does not have the position any more", async () => {
  const consumer = { category: "waited", consumerId: "letters" };
  const { globalPosition } = await append(db.sql, "waited-1", { type: "Lost" });
  await takeBackTo(globalPosition - 1);
  await drain(db.sql, { ...consumer, handle: () => {} });
  await assert.rejects(waitFor(db.sql, consumer, globalPosition), isWentBack);
});
