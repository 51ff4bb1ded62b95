/** Connections between a store of two partitions and its databases are lost. */
import assert from "node:assert/strict";
import postgres from "postgres";
import { afterAll, beforeAll, beforeEach, describe, inject, onTestFinished, test } from "vitest";
import {
  consume,
  drain,
  inSchema,
  partitioned,
  PartitionError,
  partitionFor,
  partitions,
  readCategory,
  readStream,
  type Sql,
  streamVersion,
  write,
} from "../../mod.ts";
import { install } from "../../src/database/install.ts";
import { isPassing } from "../../src/handle/_retry.ts";
import { type TcpProxy, useProxy } from "../_proxy.ts";
import { createDatabase, type TestDatabase } from "../_server.ts";
import { until } from "../_until.ts";

const COUNT = 2;
const SCHEMA = "tenant";
const message = { type: "Written" };
const databases: TestDatabase[] = [];
/** Handles that no proxy is before. */
let direct: postgres.Sql[];

beforeAll(async () => {
  for (let number = 0; number < COUNT; number++) {
    databases.push(await createDatabase(inject("databaseOrigin")));
  }
  direct = databases.map(({ url }) =>
    postgres(url, { max: 4, fetch_types: false, onnotice: () => {} })
  );
  for (const [number, handle] of direct.entries()) {
    await install(handle, { partition: { number, of: COUNT } });
    await install(handle, { schema: SCHEMA, partition: { number, of: COUNT } });
  }
});
afterAll(async () => {
  await Promise.all(direct.map((it) => it.end({ timeout: 1 })));
  await Promise.all(databases.map((it) => it.drop()));
});

let proxies: TcpProxy[];
beforeEach(async () => {
  proxies = await Promise.all(databases.map(({ url }) => useProxy(url)));
});

/** Handles that lead through the proxies. */
function openHandles(max = 2): postgres.Sql[] {
  const handles = proxies.map(({ url }) =>
    postgres(url, { max, fetch_types: false, backoff: false, onnotice: () => {} })
  );
  onTestFinished(async () => {
    await Promise.all(handles.map((it) => it.end({ timeout: 1 })));
  });
  return handles;
}

let count = 0;
/** A new category that is in a partition. */
function categoryIn(partition: number): string {
  const sql = partitioned(direct);
  for (;;) {
    const category = `category${count++}`;
    if (partitions(sql).indexOf(partitionFor(sql, category)) === partition) return category;
  }
}

const thrownBy = (work: Promise<unknown>): Promise<Error | undefined> =>
  work.then(() => undefined, (error) => error);

describe("the mark", () => {
  test("is asked for again after a lost connection: a database that has been exchanged is refused", async () => {
    const handles = openHandles();
    let target = handles[0]!;
    const exchanged = new Proxy(handles[0]!, {
      apply: (_, self, args) => Reflect.apply(target, self, args),
      get: (_, name) => Reflect.get(target, name),
    });
    const sql = partitioned([exchanged, handles[1]!]);
    const [here, there] = [categoryIn(0), categoryIn(1)];
    assert.equal(await write(sql, `${here}-1`, message), 0);
    assert.equal(await write(sql, `${there}-1`, message), 0);

    const lost = proxies[0]!.next("request", (link) => link.reset());
    const error = await thrownBy(write(sql, `${here}-1`, message));
    await lost;
    assert.ok(isPassing(error));
    assert.match(error!.message, /^Cannot reach partition 0 of 2: /);
    target = handles[1]!;
    const isRefused = async () => {
      await assert.rejects(write(sql, `${here}-1`, message), (error) => {
        assert.ok(error instanceof PartitionError && error.reason === "mark");
        assert.equal(
          error.message,
          "Cannot use this database as partition 0 of 2: it is partition 1 of 2",
        );
        return true;
      });
    };
    await isRefused();
    await isRefused();
    await assert.rejects(readCategory(sql, here), { reason: "mark" });
    await assert.rejects(
      partitionFor(sql, here).begin((sql) => write(sql, `${here}-1`, message)),
      { reason: "mark" },
    );
    // A consumer does not go on with a database that is not its own.
    await assert.rejects(
      consume(sql, { category: here, consumerId: "it", handle: () => {} }),
      { reason: "mark" },
    );
    assert.equal(await streamVersion(direct[1]!, `${here}-1`), -1);
    assert.equal(await write(sql, `${there}-1`, message), 1);

    target = handles[0]!;
    assert.equal(await write(sql, `${here}-1`, message), 1);
  });

  test("is asked for once while no connection is lost, also after other errors", async () => {
    const [handle, other] = openHandles(1);
    let asked = 0;
    const counting: Sql = (...statement) => {
      if (statement[0].join("").includes("obj_description")) asked++;
      return handle!(...statement);
    };
    const sql = partitioned([counting, other!]);
    const stream = `${categoryIn(0)}-1`;
    await write(sql, stream, message);
    await Promise.all([1, 2, 3].map(() => write(sql, stream, message)));
    await assert.rejects(write(sql, stream, message, { expectedVersion: 9 }));
    await write(sql, stream, message);
    assert.equal(asked, 1);
    const lost = proxies[0]!.next("request", (link) => link.cut());
    await assert.rejects(write(sql, stream, message));
    await lost;
    await write(sql, stream, message);
    await write(sql, stream, message);
    assert.equal(asked, 2);
  });

  test("is asked for by each transaction, which waits for nobody else's connection", async () => {
    const sql = partitioned(openHandles(1));
    const [one, two] = [categoryIn(0), categoryIn(0)];
    let writing: Promise<number> | undefined;
    await partitionFor(sql, one).begin(async (transaction) => {
      // Waits for the connection, which the transaction has.
      writing = write(sql, `${two}-1`, message);
      await write(transaction, `${one}-1`, message);
    });
    assert.equal(await writing, 0);
    assert.equal(await streamVersion(sql, `${one}-1`), 0);
  });

  test("is known once it was found, however late an earlier question is answered", async () => {
    let asked = 0;
    let isDown = false;
    let answer = () => {};
    const held = new Promise<void>((resolve) => answer = resolve);
    const wrap = (sql: Sql, isHeld: boolean): Sql => (...statement) => {
      if (isDown) return Promise.reject(Object.assign(new Error("reset"), { code: "ECONNRESET" }));
      if (!statement[0].join("").includes("obj_description")) return sql(...statement);
      asked++;
      return isHeld ? held.then(() => sql(...statement)) : sql(...statement);
    };
    const handle = Object.assign(wrap(direct[0]!, false), {
      begin: (work: (sql: Sql) => Promise<number>) =>
        direct[0]!.begin((sql) => work(wrap(sql, true))),
    });
    const sql = partitioned<Sql & { begin: typeof handle.begin }>([handle, handle]);
    const [one, two] = [categoryIn(0), categoryIn(0)];
    const working = partitionFor(sql, one).begin((sql) => write(sql, `${one}-1`, message));
    await until(() => asked === 1);
    isDown = true;
    await assert.rejects(
      write(sql, `${two}-1`, message),
      /^Error: Cannot reach partition 0 of 2: /,
    );
    isDown = false;
    await write(sql, `${two}-1`, message);
    assert.equal(asked, 2);
    answer();
    await working;
    await write(sql, `${two}-1`, message);
    assert.equal(asked, 2);
  });

  test("is not what a statement fails by if another transaction has failed", async () => {
    const sql = partitioned(openHandles());
    const [one, two] = [categoryIn(0), categoryIn(0)];
    await partitionFor(sql, one).begin(async (good) => {
      await good`select 1`;
      let both: Promise<unknown>[] = [];
      const failing = partitionFor(sql, two).begin(async (bad) => {
        await assert.rejects(bad`select 1 / 0`);
        both = [write(bad, `${two}-1`, message), write(good, `${one}-1`, message)];
        await both[0];
      });
      await assert.rejects(failing, { code: /^(22012|25P02)$/ });
      await both[1];
    });
    assert.equal(await streamVersion(sql, `${one}-1`), 0);
  });
});

describe("a lost connection", () => {
  test.each(["BEGIN", "COMMIT"])("at %s is told in words, as trouble that passes", async (tag) => {
    const sql = partitioned(openHandles());
    const category = categoryIn(1);
    await write(sql, `${category}-1`, message);
    const lost = proxies[1]!.next("answer", (link) => link.cut(), tag);
    const error = await thrownBy(
      partitionFor(sql, category).begin((sql) => write(sql, `${category}-1`, message)),
    );
    await lost;
    assert.match(error!.message, /^Cannot reach partition 1 of 2: (?!Cannot)/);
    assert.ok(isPassing(error));
  });

  test("or a partition that only reads is told once, also out of savepoints", async () => {
    const sql = partitioned(openHandles());
    const category = categoryIn(1);
    const error = await thrownBy(
      partitionFor(sql, category).begin("read only", async (sql) => {
        await sql.savepoint((sql) => write(sql, `${category}-1`, message));
      }),
    );
    assert.match(error!.message, /^Cannot reach partition 1 of 2: (?!Cannot)/);
    assert.ok(isPassing(error));
  });

  test("to a database that takes no more connections ends no consumer, and is told in words", async () => {
    const sql = partitioned(openHandles());
    const category = categoryIn(0);
    await write(sql, `${category}-1`, message);
    const name = new URL(databases[0]!.url).pathname.slice(1);
    const allow = (isAllowed: boolean) =>
      direct[1]!.unsafe(`alter database "${name}" allow_connections ${isAllowed}`);
    const told: Error[] = [];
    const seen: number[] = [];
    const ending = new AbortController();
    onTestFinished(() => ending.abort());
    const consuming = consume(sql, {
      category,
      consumerId: "it",
      pollInterval: 20,
      onRetry: (error) => void told.push(error as Error),
      handle: ({ position }) => void seen.push(position),
    }, { signal: ending.signal });
    const ended = consuming.then(() => true, (error) => error);
    await until(() => seen.length === 1);
    await allow(false);
    try {
      for (const link of proxies[0]!.links) link.cut();
      const words = /^Cannot reach partition 0 of 2: database ".*" is not currently accepting/;
      await Promise.race([until(() => told.some((it) => words.test(it.message))), ended]);
      await assert.rejects(write(sql, `${category}-1`, message), { code: "55000", message: words });
    } finally {
      await allow(true);
    }
    await write(sql, `${category}-1`, message);
    await Promise.race([until(() => seen.length === 2), ended]);
    ending.abort();
    assert.equal(await ended, true);
    assert.deepEqual(seen, [0, 1]);
  });

  test("that is another service's comes out of a transaction as it was thrown", async () => {
    const sql = partitioned(openHandles());
    const own = Object.assign(new Error("a mail server is down"), { code: "ECONNREFUSED" });
    const category = categoryIn(0);
    for (const fail of [async () => await Promise.reject(own), () => Promise.reject(own)]) {
      assert.equal(await thrownBy(partitionFor(sql, category).begin(fail)), own);
    }
  });
});

describe.each([
  ["a partition", (handles: postgres.Sql[]) => partitioned(handles)],
  [
    "a schema",
    (handles: postgres.Sql[]) => inSchema(handles[0]!, SCHEMA) as never,
  ],
  [
    "a partition in a schema",
    (handles: postgres.Sql[]) => partitioned(handles.map((it) => inSchema(it, SCHEMA))),
  ],
])("the handle of a transaction of %s", (name, open) => {
  const isPartitioned = name !== "a schema";

  /** What a handle that was a transaction's refuses, and what of it is in the store in the end. */
  async function assertSilent(late: postgres.TransactionSql, stream: string): Promise<void> {
    const ended = /Cannot use this handle: its transaction has ended/;
    await assert.rejects(write(late, stream, message), ended);
    await assert.rejects(readStream(late, stream), ended);
    await assert.rejects(async () => await late`select 1`, ended);
    await assert.rejects(async () => await late.unsafe("select 1"), ended);
    await assert.rejects(async () => await late.savepoint(() => {}), ended);
  }

  test("sends nothing when it has ended", async () => {
    const sql = open(openHandles());
    const category = categoryIn(0);
    await write(sql, `${category}-1`, message);
    const late: postgres.TransactionSql[] = [];
    await drain(sql, {
      category,
      consumerId: "it",
      transactional: true,
      handle: async (_, { sql }: { sql: postgres.TransactionSql }) => {
        late.push(sql);
        await sql.savepoint((sql) => void late.push(sql));
      },
    });
    assert.equal(late.length, 2);
    for (const handle of late) await assertSilent(handle, `${category}-late`);
    assert.equal(await streamVersion(sql, `${category}-late`), -1);
  });

  test("sends nothing when its connection was lost, though the work goes on", async () => {
    const sql = open(openHandles());
    const category = categoryIn(0);
    await write(sql, `${category}-1`, message);
    const retried: Error[] = [];
    let attempts = 0;
    let goneOn: Promise<void> | undefined;
    const { handled } = await drain(sql, {
      category,
      consumerId: "it",
      transactional: true,
      onRetry: (error) => void retried.push(error as Error),
      handle: async (_, { sql }: { sql: postgres.TransactionSql }) => {
        if (++attempts > 1) return void await write(sql, `${category}:effect-1`, message);
        for (const link of proxies[0]!.links) link.cut();
        goneOn = until(() => retried.length > 0)
          .then(() => assertSilent(sql, `${category}:effect-1`));
        await goneOn;
      },
    });
    await goneOn;
    assert.deepEqual([handled, attempts], [1, 2]);
    assert.equal(await streamVersion(sql, `${category}:effect-1`), 0);
    if (isPartitioned) {
      assert.match(retried[0]!.message, /^Cannot reach partition 0 of 2: (?!Cannot)/);
    }
  });
});
