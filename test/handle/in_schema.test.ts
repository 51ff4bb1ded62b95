import assert from "node:assert/strict";
import type postgres from "postgres";
import { afterAll, beforeAll, describe, onTestFinished, test } from "vitest";
import {
  consume,
  drain,
  groupCommit,
  inSchema,
  NotInstalledError,
  readAll,
  readCategory,
  readMatching,
  readStream,
  type Sql,
  streamVersion,
  subscribe,
  write,
  WrongExpectedVersionError,
} from "../../mod.ts";
import { install, isInstalled, uninstall } from "../../src/database/install.ts";
import { fetchSql } from "../../src/http/fetch_sql.ts";
import { gateway } from "../../src/http/gateway.ts";
import * as operate from "../../src/operate/mod.ts";
import { operations, programs, variants } from "../_operations.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const message = { type: "Written" };

beforeAll(async () => {
  for (const schema of ["tenant_1", "tenant_2"]) await install(db.sql, { schema });
  // Nothing may reach for the schema `message_store`: it is not there.
  await uninstall(db.sql);
});

/** A handle of the role of a schema, which has no right to any other. */
function asTenant(schema: string, options: postgres.Options<never> = {}): postgres.Sql {
  return inSchema(db.connect({ max: 4, ...options, connection: { role: schema } }), schema);
}

const ofOperators: Record<string, (sql: Sql) => Promise<unknown>> = {
  consumers: (sql) => operate.consumers(sql),
  diagnose: (sql) => operate.diagnose(sql),
  activity: (sql) => operate.activity(sql, { since: new Date(0) }),
  findMessages: (sql) => operate.findMessages(sql, "account", { since: new Date(0) }),
  inspectMessage: (sql) => operate.inspectMessage(sql, crypto.randomUUID()),
  messageTypes: (sql) => operate.messageTypes(sql),
  parked: (sql) => operate.parked(sql, { category: "account", consumerId: "it" }),
  prune: (sql) => operate.prune(sql, { dryRun: true }),
  storeStatus: (sql) => operate.storeStatus(sql),
  streams: (sql) => operate.streams(sql, "account"),
  trace: (sql) => operate.trace(sql, { streamName: "account-1" }),
  verify: async (sql) => {
    for await (const _ of operate.verify(sql));
  },
};

describe("in a schema of another name, without search path, as the role of the schema:", () => {
  for (const [name, operation] of Object.entries({ ...operations, ...programs, ...ofOperators })) {
    test(`${name}()`, async () => {
      const sql = db.connect({ max: 1, connection: { search_path: "", role: "tenant_1" } });
      await write(inSchema(sql, "tenant_1"), "account-1", message);
      await operation(inSchema(sql, "tenant_1"));
      await sql.begin((tx) => operation(inSchema(tx, "tenant_1")));
      await inSchema(sql, "tenant_1").begin((tx) => operation(tx));
    });
  }
});

describe.each([
  ...["messages", "id", "category", "hash_64", "table_1", "answer", "text", "message_store_1"],
  "x".repeat(63),
])("a schema named %s", (schema) => {
  beforeAll(async () => {
    await install(db.sql, { schema, notify: true, nameIndex: true });
  });
  afterAll(async () => {
    await uninstall(db.sql, { schema, deleteMessages: true });
    await db.sql.unsafe(`drop owned by ${schema}; drop role ${schema}`);
  });

  test("has a store that is whole, in which everything works, beside others in the search path", async () => {
    const whole = await install(db.sql, { schema, notify: true, nameIndex: true });
    assert.deepEqual(whole.changes, []);
    const connection = { search_path: `tenant_1, ${schema}`, role: schema };
    const settings = { ...connection, "message_store.sql_condition": "on" };
    const sql = inSchema(db.connect({ max: 1, connection: settings }), schema);
    for (const operation of Object.values({ ...operations, ...programs, ...variants })) {
      await operation(sql);
    }
    for (const operation of Object.values(ofOperators)) await operation(sql);
    const findings = await operate.diagnose(sql);
    assert.deepEqual(findings.filter(({ state }) => state === "error"), []);
  });

  test("is named by the errors of its store, which are those of any store", async () => {
    const sql = inSchema(db.connect({ max: 1 }), schema);
    await assert.rejects(readStream(sql, "account-1", { condition: "true" }), {
      code: "CONDITION_NOT_ACTIVATED",
    });
    const refused = async (reason: string) => {
      await assert.rejects(write(sql, "account-1", message), (error) => {
        assert.ok(error instanceof NotInstalledError);
        assert.equal(error.reason, reason);
        assert.ok(error.message.includes(`in the schema "${schema}"`), error.message);
        return true;
      });
    };
    await db.sql.unsafe(`select setval('${schema}.messages_global_position_seq', 1, false)`);
    await refused("behind");
    await install(db.sql, { schema });
    await db.sql.unsafe(`alter table ${schema}.messages rename to elsewhere`);
    await refused("missing");
    await db.sql.unsafe(`alter table ${schema}.elsewhere rename to messages`);
    await db.sql.unsafe(`drop function ${schema}.hash_64 cascade`);
    await refused("missing");
    await install(db.sql, { schema });
    await write(sql, "account-1", message);
  });
});

test("stores of one database hold messages, positions and global positions of their own", async () => {
  const [one, two] = [asTenant("tenant_1"), asTenant("tenant_2")];
  const stream = `own-${crypto.randomUUID()}`;
  const id = crypto.randomUUID();
  assert.equal(await write(one, stream, { ...message, id }), 0);
  assert.equal(await write(two, stream, { ...message, id }, { expectedVersion: -1 }), 0);
  assert.equal(await write(one, stream, message), 1);
  assert.equal((await readStream(one, stream)).length, 2);
  assert.equal((await readStream(two, stream)).length, 1);
  const [last] = await readAll(two, { direction: "backward", batchSize: 1 });
  assert.equal(last!.id, id);
});

test("transactions, savepoints and reserved connections are of the same store", async () => {
  const one = asTenant("tenant_1");
  const stream = `transactions-${crypto.randomUUID()}`;
  await one.begin(async (tx) => {
    await write(tx, stream, message);
    await tx.savepoint(async (sp) => void await write(sp, stream, message));
  });
  await one.begin(
    "isolation level serializable",
    async (tx) => void await write(tx, stream, message),
  );
  const reserved = await one.reserve();
  assert.equal(await write(reserved, stream, message), 3);
  reserved.release();
});

test("a transactional consumer reads, and keeps its position, in its own store", async () => {
  const one = asTenant("tenant_1");
  const category = `consumed${crypto.randomUUID().replaceAll("-", "")}`;
  await write(one, `${category}-1`, message);
  const written: number[] = [];
  const transactions: Sql[] = [];
  const consumer = {
    category,
    consumerId: "it",
    transactional: true,
    handle: async (_: unknown, { sql }: { sql: Sql }) => {
      transactions.push(sql);
      written.push(await write(sql, `${category}:effect-1`, message));
    },
  } as const;
  await drain(one, consumer);
  await drain(one, consumer);
  assert.deepEqual(written, [0]);
  await assert.rejects(write(transactions[0]!, "late-1", message), /its transaction has ended/);
  assert.equal((await readMatching(asTenant("tenant_2"), `${category}%`)).length, 0);
});

test("a tenant's role reaches nothing of another schema", async () => {
  const other = inSchema(db.connect({ max: 1, connection: { role: "tenant_2" } }), "tenant_1");
  const attempts = { ...operations, ...programs };
  for (const [name, operation] of Object.entries(attempts)) {
    await assert.rejects(
      operation(other),
      (error) =>
        error instanceof NotInstalledError && error.reason === "forbidden" &&
        error.message.includes('"grant tenant_1 to <role>"'),
      name,
    );
  }
  // A session of its own: what connects as a superuser may take any role.
  await db.sql`alter role tenant_2 password 'secret'`;
  const sql = db.connect({ max: 1, username: "tenant_2", password: "secret" });
  const statements = [
    "select * from tenant_1.messages",
    "select * from tenant_1.stream_summary",
    "select tenant_1.write_message(gen_random_uuid()::varchar, 'account-1', 'Written', '{}')",
    "select nextval('tenant_1.messages_global_position_seq')",
    "select max(global_position) from tenant_1.messages",
    "set role tenant_1",
    "grant tenant_1 to tenant_2",
    "create trigger t after insert on tenant_1.messages execute function tenant_2.id('')",
  ];
  for (const statement of statements) {
    await assert.rejects(sql.unsafe(statement), { code: /^42(501|601)$/ }, statement);
  }
  const [seen] = await sql`
    select count(*)::int as count from pg_stats where schemaname = 'tenant_1'`;
  assert.equal(seen!.count, 0);
});

test("the role message_store of other stores of the server reaches nothing of it", async () => {
  const sql = inSchema(db.connect({ max: 1, connection: { role: "message_store" } }), "tenant_1");
  await assert.rejects(readAll(sql), { reason: "forbidden" });
});

test("a category has a lock of its own in each store", async () => {
  const [one, two] = [asTenant("tenant_1"), asTenant("tenant_2")];
  await one.begin(async (tx) => {
    await write(tx, "locked-1", message);
    // Each way of taking the lock: without a wait here, and not taken there.
    await write(two, "locked-1", message);
    const grouped = groupCommit(two);
    await Promise.all([grouped("locked-1", message), grouped("locked-2", message)]);
    await drain(two, { category: "locked", consumerId: "it", handle: () => {} });
    // In the same store, each way waits.
    const same = inSchema(db.connect({ max: 4, connection: { lock_timeout: 100 } }), "tenant_1");
    const late = { code: "55P03" };
    await assert.rejects(write(same, "locked-1", message), late);
    await assert.rejects(
      groupCommit(same)("locked-1", { ...message, id: crypto.randomUUID() }),
      late,
    );
    const { categories } = (await operate.storeStatus(inSchema(db.sql, "tenant_1")))
      .transactions.find((it) => it.categories.includes("locked")) ?? { categories: [] };
    // A transaction is told of when it is a second old: it may be younger.
    assert.ok(categories.length <= 1);
  });
});

test("storeStatus() tells which transaction holds a category of its own store", async () => {
  const one = inSchema(db.sql, "tenant_1");
  await write(one, "held-1", message);
  await write(inSchema(db.sql, "tenant_2"), "held-1", message);
  await one.begin(async (tx) => {
    await write(tx, "held-1", message);
    await tx`select pg_sleep(1.1)`;
    const held = async (schema: string) =>
      (await operate.storeStatus(inSchema(db.sql, schema))).transactions
        .filter((it) => it.categories.includes("held")).length;
    assert.deepEqual([await held("tenant_1"), await held("tenant_2")], [1, 0]);
  });
});

test("a writer of one store holds up readAll() of that store alone", async () => {
  const [one, two] = [asTenant("tenant_1"), asTenant("tenant_2")];
  await one.begin(async (tx) => {
    await write(tx, "gap-1", message);
    const { globalPosition } = await lastOf(two);
    await assert.rejects(
      two.begin(async (tx) => {
        await write(tx, "gap-2", message);
        throw new Error("rolled back");
      }),
      /rolled back/,
    );
    await write(two, "gap-3", message);
    const seen = await readAll(two, { position: globalPosition + 1 });
    assert.equal(seen.at(-1)?.streamName, "gap-3");
  });

  async function lastOf(sql: Sql) {
    await write(sql, "gap-0", message);
    return (await readAll(sql, { direction: "backward", batchSize: 1 }))[0]!;
  }
});

test("a follower hears the notifications of its own store", async () => {
  await install(db.sql, { schema: "tenant_1", notify: true });
  assert.deepEqual((await install(db.sql, { schema: "tenant_1", notify: true })).changes, []);
  const heard: string[] = [];
  const { unlisten } = await db.sql.listen("tenant_1", (category) => heard.push(category));
  const { unlisten: deaf } = await db.sql.listen("message_store", () => heard.push("other"));
  onTestFinished(async () => {
    await Promise.all([unlisten(), deaf()]);
  });
  const end = new AbortController();
  const sql = inSchema(db.connect({ max: 2 }), "tenant_1");
  const following = { notify: true, pollInterval: 2 ** 30 } as const;
  let count = 0;
  const consuming = consume(sql, {
    category: "heard",
    consumerId: "it",
    ...following,
    handle: () => void count++,
  }, { signal: end.signal });
  for (let written = 0; written < 3; written++) {
    await write(sql, "heard-1", message);
    await until(() => count === written + 1);
  }
  end.abort();
  await consuming;
  await until(() => heard.filter((it) => it === "heard").length === 3);
  assert.ok(!heard.includes("other"));
});

test("a missing store is told by the name of its schema", async () => {
  await assert.rejects(write(inSchema(db.sql, "absent"), "account-1", message), {
    name: "NotInstalledError",
    reason: "missing",
    message: /in the schema "absent" in this database.*install\(sql, \{ schema: "absent" \}\)/,
  });
  const findings = await operate.diagnose(inSchema(db.sql, "absent"));
  const { advice } = findings.find(({ name }) => name === "store")!;
  assert.equal(advice, "messagedb install --schema absent");
});

test("errors of stored streams name them as they are, also if they are named as the schema", async () => {
  const sql = inSchema(db.sql, "tenant_1");
  const failing = write(sql, "tenant_1-message_store", message, { expectedVersion: 7 });
  await assert.rejects(
    failing,
    (error) =>
      error instanceof WrongExpectedVersionError && error.streamName === "tenant_1-message_store",
  );
});

describe("a gateway", () => {
  const sqlOver = (sql: Sql): Sql => {
    const handle = gateway(sql, { authorize: () => true });
    return fetchSql("http://gateway/sql", { fetch: (url, init) => handle(new Request(url, init)) });
  };

  test("serves the store in a schema, whose name its clients neither give nor see", async () => {
    const stream = `served-${crypto.randomUUID()}`;
    const sql = sqlOver(inSchema(db.sql, "tenant_1"));
    await write(sql, stream, message);
    assert.equal((await readStream(sql, stream)).length, 1);
    assert.equal(await streamVersion(inSchema(db.sql, "tenant_1"), stream), 0);
    await assert.rejects(write(sqlOver(inSchema(db.sql, "absent")), stream, message), (error) => {
      assert.ok(error instanceof NotInstalledError);
      assert.doesNotMatch(`${error.message} ${error.cause}`, /absent/);
      return true;
    });
  });

  test("is told which schema it serves, and not by its clients", () => {
    assert.throws(() => inSchema(sqlOver(db.sql), "tenant_1"), {
      name: "TypeError",
      message: /give inSchema\(sql, "tenant_1"\) to the gateway/,
    });
  });
});

test("is the same handle for the same name, and takes the place of another name", async () => {
  const one = inSchema(db.sql, "tenant_1");
  assert.equal(inSchema(db.sql, "tenant_1"), one);
  assert.equal(inSchema(one, "tenant_1"), one);
  assert.equal(inSchema(db.sql, "message_store"), db.sql);
  await write(inSchema(inSchema(db.sql, "absent"), "tenant_2"), "account-1", message);
  await assert.rejects(write(inSchema(one, "message_store"), "account-1", message), {
    message: /^Cannot find Message DB 1.3 in the schema "message_store" in this database: /,
  });
});

test("diagnose() names the database and the role as they are called", async () => {
  const sql = inSchema(db.connect({ max: 1, connection: { role: "message_store" } }), "tenant_1");
  const rights = (await operate.diagnose(sql)).find(({ name }) => name === "rights")!;
  assert.equal(rights.text, "The role message_store may not read messages");
  assert.equal(rights.advice, "grant tenant_1 to message_store;");
});

test("SQL of a program's own stays as it is", async () => {
  const sql = inSchema(db.sql, "tenant_1");
  const [row] = await sql`select 'message_store' as name, ${"message_store"} as value`;
  assert.deepEqual({ ...row }, { name: "message_store", value: "message_store" });
});

test.each(["", "Tenant", "a-b", "a.b", "1a", "pg_x", "public", "x".repeat(64), 'a"b', null])(
  "refuses the name %j",
  (name) => {
    assert.throws(() => inSchema(db.sql, name as string), {
      name: "TypeError",
      message: /"?schema"?/,
    });
  },
);

test("subscribes in its own store", async () => {
  const sql = asTenant("tenant_2");
  await write(sql, "followed-1", message);
  for await (const { streamName } of subscribe(sql, "followed")) {
    assert.equal(streamName, "followed-1");
    break;
  }
  assert.equal((await readCategory(asTenant("tenant_1"), "followed")).length, 0);
});

describe("install() with a schema", () => {
  test("makes a store that is whole, once, and takes it away alone", async () => {
    const schema = "installed";
    assert.equal(await isInstalled(db.sql, { schema }), false);
    const plan = await install(db.sql, { schema, dryRun: true, nameIndex: true });
    const { changes, statements } = await install(db.sql, { schema, nameIndex: true });
    assert.deepEqual(plan.changes, changes);
    assert.doesNotMatch(
      statements.join("\n"),
      /(?<!\/)\bmessage_store\b(?!\.(sql_condition|debug))/,
    );
    assert.ok(changes.includes('create the schema "installed"'));
    assert.equal(await isInstalled(db.sql, { schema }), true);
    assert.equal(await isInstalled(inSchema(db.sql, schema)), true);
    assert.equal(await isInstalled(db.sql), false);
    assert.deepEqual(
      (await install(db.sql, { schema, nameIndex: true, notify: false })).changes,
      [],
    );

    await write(inSchema(db.sql, schema), "account-1", message);
    await assert.rejects(uninstall(db.sql, { schema }), /it holds messages/);
    await uninstall(db.sql, { schema, deleteMessages: true });
    assert.equal(await isInstalled(db.sql, { schema }), false);
    assert.equal(await isInstalled(db.sql, { schema: "tenant_1" }), true);
    await db.sql`drop owned by installed`;
    await db.sql`drop role installed`;
  });

  test("changes nothing of the store in the schema message_store", async () => {
    const { statements } = await install(db.sql, { dryRun: true });
    assert.match(statements.join("\n"), /_category_name_hash := hash_64\(_category\);/);
  });

  test("mends the lock of a store whose schema was renamed", async () => {
    await install(db.sql, { schema: "before" });
    await db.sql`alter schema before rename to after`;
    await mends("after", /hash_64\('after\/' operator\(pg_catalog\.\|\|\) _category\)/);
    await db.sql`alter schema after rename to message_store`;
    await mends("message_store", /hash_64\(_category\)/);
    await uninstall(db.sql);
    await db.sql`drop owned by before, after`;
    await db.sql`drop role before, after`;

    async function mends(schema: string, key: RegExp): Promise<void> {
      const { changes } = await install(db.sql, { schema });
      assert.ok(changes.includes('create the function "acquire_lock"'));
      assert.deepEqual((await install(db.sql, { schema })).changes, []);
      const [row] = await db.sql`
        select prosrc from pg_proc
        where oid = ${`${schema}.acquire_lock(varchar)`}::text::regprocedure`;
      assert.match(row!.prosrc, key);
    }
  });

  test("refuses a word of SQL, before anything is done", async () => {
    await assert.rejects(install(db.sql, { schema: "order" }), {
      name: "TypeError",
      message: /"order": the name is a word of SQL/,
    });
  });
});
