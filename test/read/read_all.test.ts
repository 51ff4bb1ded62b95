import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type postgres from "postgres";
import { describe, test } from "vitest";
import { fromQuery, iterateAll, type Message, readAll, readMatching, write } from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

describe("readAll()", () => {
  test("reads every stream in the order of global positions, in pages", async () => {
    for (let at = 0; at < 5; at++) {
      await write(db.sql, `category${at}-1`, { type: "Written" });
    }
    const all = await readAll(db.sql);
    assert.deepEqual(all.map(({ globalPosition }) => globalPosition), [
      1,
      2,
      3,
      4,
      5,
    ]);
    assert.deepEqual(
      await readAll(db.sql, { position: 0, batchSize: 2 }),
      all.slice(0, 2),
    );
    assert.deepEqual(
      await readAll(db.sql, { position: 3, batchSize: 2 }),
      all.slice(2, 4),
    );
    assert.deepEqual(await readAll(db.sql, { position: 6 }), []);
  });

  test("reads backward from the end, or from a position on, which is included", async () => {
    const positions = async (
      options: { position?: number; batchSize?: number },
    ) =>
      (await readAll(db.sql, { direction: "backward", ...options }))
        .map(({ globalPosition }) => globalPosition);
    assert.deepEqual(await positions({}), [5, 4, 3, 2, 1]);
    assert.deepEqual(await positions({ batchSize: 2 }), [5, 4]);
    assert.deepEqual(await positions({ position: 3 }), [3, 2, 1]);
  });

  test("stops before the position of a writer that has not committed", async () => {
    await withOpenWriter(async (finish, next) => {
      await write(db.sql, "behind-1", { type: "Behind" });
      assert.equal((await readAll(db.sql)).at(-1)!.globalPosition, next - 1);
      assert.deepEqual(await readAll(db.sql, { position: next }), []);
      assert.deepEqual(await readMatching(db.sql, "behind-%"), []);
      await finish("commit");
      assert.deepEqual(
        (await readAll(db.sql, { position: next })).map(({ streamName }) => streamName),
        ["open-1", "behind-1"],
      );
      assert.equal((await readMatching(db.sql, "behind-%")).length, 1);
    });
  });

  test("passes the position of a writer that rolled back", async () => {
    await withOpenWriter(async (finish, next) => {
      await write(db.sql, "behind-2", { type: "Behind" });
      assert.deepEqual(await readAll(db.sql, { position: next }), []);
      await finish("rollback");
      assert.deepEqual(
        (await readAll(db.sql, { position: next })).map(({ streamName }) => streamName),
        ["behind-2"],
      );
      assert.equal((await readAll(db.sql)).at(-1)!.streamName, "behind-2");
    });
  });

  test("does not wait for a transaction that writes elsewhere", async () => {
    await db.sql`create table elsewhere (n int)`;
    await db.sql.begin("isolation level serializable", async (sql) => {
      await sql`insert into elsewhere values (1)`;
      await sql`select count(*) from message_store.messages`;
      await rolledBack();
      await write(db.connect(), "free-1", { type: "Written" });
      assert.equal((await readAll(db.connect())).at(-1)!.streamName, "free-1");
    });
  });

  test("does not wait for its own transaction", async () => {
    await db.sql.begin(async (sql) => {
      await write(sql, "own-1", { type: "Written" });
      await sql.savepoint(async (inner) => {
        await write(inner, "own-1", { type: "Rolled back" });
        throw new Error("back");
      }).catch(() => {});
      await write(sql, "own-1", { type: "Written" });
      assert.equal((await readAll(sql)).at(-1)!.streamName, "own-1");
    });
  });

  for (const read of ["readAll", "iterateAll"] as const) {
    test(`${read}() goes on while writers overlap, each longer than a call waits`, async () => {
      await rolledBack();
      const sql = db.connect({ max: 12 });
      const start = await nextPosition(sql);
      let seen = 0;
      const writers = Promise.all(
        Array.from({ length: 8 }, async (_, writer) => {
          await sleep(writer * 60);
          for (let at = 0; seen < 20; at++) {
            await sql.begin(async (sql) => {
              await write(sql, `overlap${read}${writer}-${at}`, { type: "Written" });
              await sleep(480);
            });
          }
        }),
      );
      for (let position = start; seen < 20;) {
        const messages = read === "readAll" ? await readAll(sql, { position }) : [];
        if (read === "iterateAll") {
          for await (const message of iterateAll(sql, { position, limit: 20 })) {
            messages.push(message);
          }
        }
        seen += messages.length;
        position = (messages.at(-1)?.globalPosition ?? position - 1) + 1;
      }
      await writers;
    });
  }

  test("forgets what it saw of a store that was emptied", async () => {
    const sql = db.connect();
    await withOpenWriter(async (finish) => {
      for (let at = 0; at < 4; at++) await write(db.sql, `emptied-${at}`, { type: "Written" });
      await readAll(sql, { position: await nextPosition(db.sql) - 4 });
      await finish("rollback");
    });
    assert.ok((await readAll(sql)).length > 0);
    await db.sql`truncate message_store.messages restart identity`;
    await write(db.sql, "emptied-1", { type: "Written" });
    await withOpenWriter(async (finish) => {
      // Beyond every position that the emptied store had.
      await db.sql`
        insert into message_store.messages (stream_name, position, type)
        select 'refilled-1', number, 'Written' from generate_series(0, 20000) as number`;
      assert.deepEqual((await readAll(sql)).map(({ globalPosition }) => globalPosition), [1]);
      assert.deepEqual(await readAll(sql, { position: 2 }), []);
      await finish("commit");
      assert.equal((await readAll(sql, { position: 2 }))[0]!.streamName, "open-1");
    });
  });

  test("waits outside of a transaction for what it did not wait for inside", async () => {
    let through: postgres.Sql | postgres.TransactionSql = db.connect();
    const outside = through;
    const handle = fromQuery((text, parameters) => through.unsafe(text, parameters));
    await withOpenWriter(async (finish, next) => {
      await outside.begin(async (inside) => {
        await write(inside, "inside-1", { type: "Written" });
        await write(db.sql, "after-1", { type: "Written" });
        through = inside;
        assert.deepEqual(await readAll(handle, { position: next }), []);
        await finish("rollback");
        assert.equal((await readAll(handle, { position: next })).length, 2);
        through = outside;
        assert.deepEqual(await readAll(handle, { position: next }), []);
      });
      assert.equal((await readAll(handle, { position: next })).length, 2);
    });
  });

  test("reads on inside a READ UNCOMMITTED transaction", async () => {
    const position = await nextPosition(db.sql);
    await rolledBack();
    await write(db.sql, "uncommitted-1", { type: "Written" });
    await db.sql.begin("isolation level read uncommitted", async (sql) => {
      assert.equal((await readAll(sql, { position })).length, 1);
    });
  });

  test("stays before what is missing inside a REPEATABLE READ transaction", async () => {
    await withOpenWriter(async (finish, next) => {
      await write(db.sql, "behind-4", { type: "Behind" });
      await db.sql.begin("isolation level repeatable read", async (sql) => {
        assert.deepEqual(await readAll(sql, { position: next }), []);
        await finish("commit");
        const seen = await readAll(sql, { position: next });
        assert.deepEqual(
          seen.filter(({ streamName }) => streamName === "behind-4"),
          [],
        );
      });
    });
  });

  test("loses nothing while 16 writers commit late, roll back and insert by hand, as the naive query does", async () => {
    const sql = db.connect({ max: 22 });
    const start = await nextPosition(db.sql);
    const committed: string[] = [];
    const writers = Promise.all(
      Array.from(
        { length: 16 },
        (_, writer) => keepWriting(sql, writer, 200, committed),
      ),
    );
    let writing = true;
    const done = writers.then(() => {
      writing = false;
    });

    const lossless = follow(
      (position) => readAll(sql, { position, batchSize: 100 }),
      start,
      () => writing,
    );
    const matching = follow(
      (position) => readMatching(sql, "hard%-%", { position, batchSize: 50 }),
      start,
      () => writing,
    );
    const naive = follow(
      async (position) =>
        (await sql<{ id: string; position: string }[]>`
          select id, global_position as position from message_store.messages
          where global_position >= ${position} order by global_position limit 100`)
          .map((row) => ({ id: row.id, globalPosition: Number(row.position) })),
      start,
      () => writing,
    );
    await done;

    for (const seen of [await lossless, await matching]) {
      assert.deepEqual(seen.map(({ id }) => id).sort(), [...committed].sort());
      assert.ok(
        seen.every(({ globalPosition }, at) =>
          at === 0 || globalPosition > seen[at - 1]!.globalPosition
        ),
      );
    }
    const lost = committed.length - (await naive).length;
    console.log(
      `Of ${committed.length} messages the naive query lost ${lost}, readAll() none`,
    );
    assert.ok(lost > 0);

    const iterated: string[] = [];
    for await (
      const { id } of iterateAll(db.sql, { position: start, batchSize: 64 })
    ) {
      iterated.push(id);
    }
    assert.deepEqual(iterated.sort(), [...committed].sort());
  });
});

/** The global position after the last message that is there. */
async function nextPosition(sql: postgres.Sql): Promise<number> {
  const [last] = await readAll(sql, { direction: "backward", batchSize: 1 });
  return (last?.globalPosition ?? 0) + 1;
}

/** Writes one message a transaction, half of them by a plain INSERT, and commits each late or never. */
async function keepWriting(
  sql: postgres.Sql,
  writer: number,
  transactions: number,
  committed: string[],
): Promise<void> {
  const roll = random(writer + 1);
  for (let at = 0; at < transactions; at++) {
    const id = crypto.randomUUID();
    const stream = `hard${writer}-${at}`;
    try {
      await sql.begin(async (sql) => {
        if (at % 2) await write(sql, stream, { type: "Written", id });
        else {
          await sql`
            insert into message_store.messages (id, stream_name, position, type)
            values (${id}, ${stream}, 0, 'Inserted')`;
        }
        await sleep(roll() * 30);
        if (roll() < 0.2) throw new Error("rolled back");
      });
      committed.push(id);
    } catch (error) {
      assert.equal((error as Error).message, "rolled back");
    }
  }
}

type Seen = Pick<Message, "id" | "globalPosition">;

/** Polls from each last position + 1 until the writing has stopped and there is no more. */
async function follow(
  read: (position: number) => Promise<readonly Seen[]>,
  start: number,
  writing: () => boolean,
): Promise<Seen[]> {
  const seen: Seen[] = [];
  let position = start;
  for (;;) {
    const goesOn = writing();
    const page = await read(position);
    seen.push(...page);
    position = (page.at(-1)?.globalPosition ?? position - 1) + 1;
    if (!goesOn && page.length === 0) return seen;
  }
}

/** A transaction that has taken the next global position and is still open. */
async function withOpenWriter(
  run: (
    finish: (how: string) => Promise<unknown>,
    next: number,
  ) => Promise<void>,
): Promise<void> {
  const next = await nextPosition(db.sql);
  const connection = await db.connect({ fetch_types: true }).reserve();
  await connection`begin`;
  await connection`
    insert into message_store.messages (stream_name, position, type)
    select 'open-1', coalesce(max(position), -1) + 1, 'Open' from message_store.messages
    where stream_name = 'open-1'`;
  const [row] = await connection<{ last: string }[]>`
    select max(global_position) as last from message_store.messages`;
  let open = true;
  try {
    await run((how) => {
      open = false;
      return connection.unsafe(how);
    }, Number(row!.last));
    assert.ok(Number(row!.last) >= next);
  } finally {
    if (open) await connection`rollback`;
    connection.release();
  }
}

/** Takes a global position and never uses it. */
async function rolledBack(): Promise<void> {
  await db.connect().begin(async (sql) => {
    await write(sql, "never-1", { type: "Never" });
    throw new Error("never");
  }).catch(() => {});
}

/** Reproducible: a linear congruential generator. */
function random(seed: number): () => number {
  return () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
}
