import assert from "node:assert/strict";
import postgres from "postgres";
import { afterAll, beforeAll, describe, inject, test } from "vitest";
import {
  aggregate,
  append,
  cardinalId,
  categories,
  decide,
  drain,
  entity,
  entityIds,
  groupCommit,
  importMessages,
  inSchema,
  iterateAll,
  iterateCategory,
  iterateMatching,
  messageStoreVersion,
  partitionByHash,
  partitioned,
  type PartitionedSql,
  PartitionError,
  partitionFor,
  partitions,
  project,
  readAggregate,
  readAll,
  readCategory,
  readLastMessage,
  readMatching,
  readMessage,
  readMessages,
  readStream,
  reply,
  type Sql,
  streamNames,
  streamVersion,
  subscribe,
  synchronize,
  waitFor,
  write,
  writeBatch,
  writeStreams,
  WrongExpectedVersionError,
} from "../../mod.ts";
import { install } from "../../src/database/install.ts";
import { fetchSql } from "../../src/http/fetch_sql.ts";
import { gateway } from "../../src/http/gateway.ts";
import {
  consumers,
  exportMessages,
  parked,
  remove,
  rewind,
  storeStatus,
  streams,
  trace,
  verify,
} from "../../src/operate/mod.ts";
import { operations, programs } from "../_operations.ts";
import { createDatabase, type TestDatabase } from "../_server.ts";
import { PATIENCE } from "../_until.ts";

const COUNT = 4;
const message = { type: "Written" };
const databases: TestDatabase[] = [];
let handles: postgres.Sql[];
let sql: PartitionedSql<postgres.Sql>;

beforeAll(async () => {
  for (let number = 0; number < COUNT; number++) {
    databases.push(await createDatabase(inject("databaseOrigin")));
  }
  handles = databases.map(({ url }) =>
    postgres(url, { max: 8, fetch_types: false, onnotice: () => {} })
  );
  for (const [number, handle] of handles.entries()) {
    await install(handle, { partition: { number, of: COUNT } });
  }
  sql = partitioned(handles);
});
afterAll(async () => {
  await Promise.all(handles.map((it) => it.end({ timeout: 1 })));
  await Promise.all(databases.map((it) => it.drop()));
});

/** The partition that a name is in, found by where `partitionFor` sends statements. */
function numberOf(name: string): number {
  return partitions(sql).indexOf(partitionFor(sql, name));
}

async function listOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

let count = 0;
/** A new category that is in a partition. */
function categoryIn(partition: number): string {
  for (;;) {
    const category = `category${count++}`;
    if (numberOf(category) === partition) return category;
  }
}

describe("a category", () => {
  test("is in the partition that its hash says, in all versions of this library", () => {
    const known = ["account", "order", "customer", "c", "Ünï", "ledger", "payment_2"];
    assert.deepEqual(known.map(numberOf), [0, 3, 1, 2, 0, 0, 0]);
    assert.deepEqual(known.map((it) => partitionByHash(it, COUNT)), known.map(numberOf));
  });

  test("is in one partition with the categories of its types", () => {
    for (let at = 0; at < 50; at++) {
      const category = `category${at}`;
      const names = ["-1", ":command", ":command+position-a+1+2", ":position-x", ":snapshot-1-2"];
      for (const name of names) assert.equal(numberOf(category + name), numberOf(category));
    }
  });

  test("is spread over all partitions", () => {
    const found = new Set(Array.from({ length: 50 }, (_, at) => numberOf(`c${at}`)));
    assert.equal(found.size, COUNT);
  });

  test("is where partitionOf says, and nowhere if that is no partition", async () => {
    const own = partitioned(handles, { partitionOf: (category) => category === "far" ? 7 : 3 });
    assert.equal(partitionFor(own, "account:command-1"), partitions(own)[3]);
    await assert.rejects(write(own, "far-1", message), {
      name: "RangeError",
      message: 'Cannot find the partition of category "far": partitionOf answers 7, and not an ' +
        "integer from 0 to 3",
    });
  });
});

test("what concerns one category works, and is in its partition alone", async () => {
  for (let partition = 0; partition < COUNT; partition++) {
    const category = categoryIn(partition);
    const stream = `${category}-1`;
    assert.equal(await write(sql, stream, message), 0);
    assert.equal(await write(sql, stream, { ...message, id: crypto.randomUUID() }), 1);
    assert.equal(await writeBatch(sql, stream, [message, message]), 3);
    assert.equal((await append(sql, stream, message)).position, 4);
    assert.deepEqual(
      await writeStreams(sql, [
        { streamName: `${category}-2`, messages: [message] },
        { streamName: `${category}:command-2`, messages: [message] },
      ]),
      [0, 0],
    );
    await reply(sql, { ...message, metadata: { replyStreamName: `${category}-3` } });
    await synchronize(sql, `${category}-4`, [{ ...message, id: crypto.randomUUID() }]);
    const grouped = groupCommit(sql);
    await Promise.all([grouped(stream, message), grouped(`${category}-5`, message)]);
    await assert.rejects(write(sql, stream, message, { expectedVersion: 0 }), {
      name: "WrongExpectedVersionError",
    });

    assert.equal((await readStream(sql, stream)).length, 6);
    assert.equal(await streamVersion(sql, stream), 5);
    assert.equal((await readLastMessage(sql, stream))!.position, 5);
    assert.equal((await readCategory(sql, category)).length, 10);
    assert.equal((await listOf(iterateCategory(sql, category))).length, 10);
    assert.deepEqual(await entityIds(sql, category), ["1", "2", "3", "4", "5"]);
    assert.equal((await streamNames(sql, category)).length, 5);
    assert.equal(
      (await project(sql, stream, {
        init: () => 0,
        evolve: (count: number) => count + 1,
      })).state,
      6,
    );
    for await (const { streamName } of subscribe(sql, category)) {
      assert.equal(streamName, stream);
      break;
    }
    for (const [number, handle] of handles.entries()) {
      const [row] = await handle`
        select count(*)::int as count from message_store.messages
        where message_store.category(stream_name) = ${category}`;
      assert.equal(row!.count, number === partition ? 10 : 0);
    }
    await operateOn(category);
  }

  async function operateOn(category: string): Promise<void> {
    const consumer = { category, consumerId: "it" };
    const { globalPosition } = await append(sql, `${category}-1`, message);
    const handled = { ...consumer, handle: () => {}, onError: "park" } as const;
    const drained = await drain(sql, {
      ...handled,
      handle: ({ position }) => {
        if (position === 2) throw new Error("as it is meant");
      },
    });
    assert.equal(drained.handled, 11);
    await waitFor(sql, consumer, globalPosition, { timeout: PATIENCE });
    assert.equal((await parked(sql, consumer)).length, 1);
    const [status] = await consumers(sql, { category });
    assert.deepEqual([status!.consumerId, status!.behind], ["it", 0]);
    assert.equal(status!.partition, partitions(sql).indexOf(partitionFor(sql, category)));
    const all = await consumers(sql);
    assert.deepEqual(all.find((it) => it.category === category)?.partition, status!.partition);
    const everything = { category: "$all", consumerId: `all-${category}` };
    for (const store of partitions(sql)) {
      await drain(store, { ...everything, startAt: "end", handle: () => {} });
    }
    assert.deepEqual(
      (await consumers(sql, { category: "$all" }))
        .filter(({ consumerId }) => consumerId === everything.consumerId)
        .map(({ partition }) => partition),
      [...partitions(sql).keys()],
    );
    assert.ok((await streams(sql, category)).streams.length === 5);
    const [first] = await readStream(sql, `${category}-1`);
    for (const start of [{ id: first!.id }, { streamName: `${category}-1` }]) {
      assert.equal((await trace(sql, start)).messages[0]!.id, first!.id);
    }
    assert.equal(await rewind(sql, consumer, "beginning"), 1);
    assert.ok(await remove(sql, consumer) > 0);
    const lines = await listOf(exportMessages(sql, category));
    assert.equal(lines.length, 11);
  }
});

test("a transactional consumer does its work and keeps its position in its partition", async () => {
  const category = categoryIn(2);
  await writeBatch(sql, `${category}-1`, [message, message, message]);
  const consumer = {
    category,
    consumerId: "it",
    transactional: true,
    handle: async (
      { position }: { position: number },
      { sql }: { sql: postgres.TransactionSql },
    ) => {
      // Of the partition, and able to send SQL of the program's own.
      await sql`select 1`;
      await write(sql, `${category}:effect-${position}`, message);
      if (position === 2) await write(sql, `${categoryIn(1)}-1`, message);
    },
    onError: "park",
  } as const;
  assert.equal((await drain(sql, consumer)).handled, 3);
  const [open] = await parked(sql, consumer);
  assert.match(open!.error!.message, /^Cannot do this with partition 2 of 4/);
  assert.equal((await drain(sql, consumer)).handled, 0);
  assert.deepEqual(await entityIds(sql, `${category}:effect`), ["0", "1"]);
});

test("members of a group share a category", async () => {
  const category = categoryIn(3);
  for (let at = 0; at < 20; at++) await write(sql, `${category}-${at}`, message);
  const seen: string[] = [];
  const each = await Promise.all([0, 1].map((member) =>
    drain(sql, {
      category,
      consumerId: "it",
      consumerGroup: { member, size: 2 },
      handle: ({ streamName }) => void seen.push(cardinalId(streamName)!),
    })
  ));
  assert.ok(each.every(({ handled }) => handled > 0));
  assert.equal(new Set(seen).size, 20);
});

test("a handler may write to any partition, where its work is no transaction", async () => {
  const [from, to] = [categoryIn(0), categoryIn(1)];
  await write(sql, `${from}-1`, message);
  await drain(sql, {
    category: from,
    consumerId: "it",
    handle: async (_, { sql }) => void await write(sql, `${to}-1`, message),
  });
  assert.equal(await streamVersion(sql, `${to}-1`), 0);
});

test("an entity is decided and snapshotted in its partition", async () => {
  const counter = (category: string) =>
    entity({
      category,
      init: () => ({ count: 0 }),
      evolve: ({ count }: { count: number }) => ({ count: count + 1 }),
      snapshot: { every: 2, version: "1" },
    });
  const [one, other] = [counter(categoryIn(1)), counter(categoryIn(2))];
  const near = counter(one.category + ":near");
  for (let at = 0; at < 5; at++) await one.decide(sql, "1", () => message);
  const { state } = await one.fetch(sql, "1");
  assert.deepEqual(state, { count: 5 });
  await decide(sql, [[one, "1"], [near, "1"]], () => [[message], [message]], { commandId: "once" });
  await decide(sql, [[one, "1"], [near, "1"]], () => [[message], [message]], { commandId: "once" });
  assert.deepEqual((await one.fetch(sql, "1")).state, { count: 6 });

  let isCalled = false;
  await assert.rejects(
    decide(sql, [[one, "1"], [other, "1"]], () => {
      isCalled = true;
      return [[message], [message]];
    }),
    { name: "PartitionError", reason: "several" },
  );
  assert.equal(isCalled, false);
});

test("an aggregate works over categories of its partition", async () => {
  const [name, one, two] = [categoryIn(1), categoryIn(1), categoryIn(1)];
  await write(sql, `${one}-1`, message);
  await write(sql, `${two}-1`, message);
  await aggregate(sql, { name, from: [one, two], partition: () => 0 }, { once: true });
  assert.equal((await readAggregate(sql, name)).length, 2);
  const handled = await drain(sql, { aggregate: name, consumerId: "it", handle: () => {} });
  assert.equal(handled.handled, 2);

  for (const from of [[one, categoryIn(2)], ["%"]]) {
    await assert.rejects(
      aggregate(sql, { name, from, partition: () => 0 }, { once: true }),
      { name: "PartitionError" },
    );
  }
});

test("what is asked by ids, and about all categories, is asked of all partitions", async () => {
  const names = [0, 1, 2, 3].map(categoryIn);
  const ids = names.map(() => crypto.randomUUID());
  for (const [at, name] of names.entries()) {
    await write(sql, `${name}-1`, { ...message, id: ids[at]! });
  }
  const asked = [ids[2]!, crypto.randomUUID(), ids[0]!.toUpperCase(), ids[3]!, ids[1]!];
  const found = await readMessages(sql, asked);
  assert.deepEqual(found.map(({ id }) => id), [ids[2], ids[0], ids[3], ids[1]]);
  assert.equal((await readMessage(sql, ids[3]!))!.streamName, `${names[3]}-1`);
  const all = await categories(sql);
  assert.ok(names.every((name) => all.includes(name)));
  assert.deepEqual(all, [...all].sort());
  assert.equal(await messageStoreVersion(sql), "1.3.0");
});

test("importMessages() writes each message to its partition, and translates positions by it", async () => {
  const [one, two] = [categoryIn(0), categoryIn(3)];
  const from = inSchema(handles[0]!, "of_import");
  await install(handles[0]!, { schema: "of_import" });
  for (let at = 0; at < 3; at++) {
    await write(from, `${one}-1`, message);
    await write(from, `${two}-1`, message);
  }
  for (const category of [one, two]) {
    await drain(from, { category, consumerId: "it", handle: () => {} }, { limit: 2 });
  }
  await drain(from, { category: "$all", consumerId: "all", handle: () => {} }, { limit: 1 });
  await assert.rejects(importMessages(sql, exportMessages(from, "$all")), {
    name: "TypeError",
    message: /line \d+: "\$all:position-all" is of all messages, which no partition has: .*"omit"/,
  });
  await remove(from, { category: "$all", consumerId: "all" });
  const { written } = await importMessages(sql, exportMessages(from, "$all"));
  assert.ok(written >= 8);
  for (const category of [one, two]) {
    const handled: number[] = [];
    const handle = ({ position }: { position: number }) => void handled.push(position);
    await drain(sql, { category, consumerId: "it", handle });
    assert.deepEqual(handled, [2]);
  }
});

describe("is refused before anything is sent:", () => {
  /** Handles that must not be reached. */
  const unreached = partitioned(Array.from({ length: COUNT }, (): Sql => () => {
    throw new Error("something was sent");
  }));
  const [a, b] = ["account-1", "order-1"];
  const several = { reason: "several", names: [a, b], partitions: [0, 3] };
  const all = { reason: "all", names: ["$all"] };
  const whole = { reason: "all", names: [] };
  const handle = () => {};
  const attempts: Record<string, [(sql: Sql) => unknown, object]> = {
    writeStreams: [
      (sql) =>
        writeStreams(sql, [a!, b!].map((streamName) => ({ streamName, messages: [message] }))),
      several,
    ],
    readAll: [(sql) => readAll(sql), whole],
    readMatching: [(sql) => readMatching(sql, "account%"), all],
    iterateAll: [(sql) => iterateAll(sql).next(), whole],
    iterateMatching: [(sql) => iterateMatching(sql, "account%").next(), all],
    subscribe: [async (sql) => await subscribe(sql, "$all").next(), all],
    drain: [(sql) => drain(sql, { category: "$all", consumerId: "it", handle }), all],
    storeStatus: [(sql) => storeStatus(sql), whole],
    exportMessages: [(sql) => exportMessages(sql, "$all").next(), whole],
    verify: [async (sql) => await verify(sql, { position: 1 }).next(), all],
  };
  test.each(Object.entries(attempts))("%s()", async (_, [attempt, error]) => {
    await assert.rejects(async () => await attempt(unreached), {
      name: "PartitionError",
      code: "PARTITION",
      ...error,
    });
  });

  test("SQL of a program's own, which partitionFor() sends", async () => {
    await assert.rejects(async () => await unreached`select 1`, { reason: "all" });
    const [row] = await partitionFor(sql, "account")`select 1 as one`;
    assert.equal(row!.one, 1);
  });
});

describe("over one partition, in a schema of another name", () => {
  const ofAll =
    /^(readAll|readMatching|iterateAll|iterateMatching|read|subscribe|aggregate|settle)\b/;
  beforeAll(async () => {
    await install(handles[1]!, { schema: "one", partition: { number: 0, of: 1 } });
  });
  test.each(Object.entries({ ...operations, ...programs }))("%s()", async (name, operation) => {
    const own = partitioned([inSchema(handles[1]!, "one")]);
    const outcome = await operation(own).then(() => undefined, (error) => error);
    if (outcome !== undefined && !ofAll.test(name)) throw outcome;
    if (outcome !== undefined) assert.equal(outcome.reason, "all");
  });
});

test("a transaction takes streams of its own partition, and refuses others and goes on", async () => {
  const [own, near, far] = [categoryIn(1), categoryIn(1), categoryIn(2)];
  await partitionFor(sql, own, near).begin(async (sql) => {
    await write(sql, `${own}-1`, message);
    await assert.rejects(write(sql, `${far}-1`, message), {
      name: "PartitionError",
      reason: "foreign",
      names: [`${far}-1`],
      partitions: [2],
      message: "Cannot do this with partition 1 of 4, which the handle or its transaction is of: " +
        `"${far}-1" is in partition 2`,
    });
    await assert.rejects(readCategory(sql, far), { reason: "foreign" });
    await sql.savepoint(async (sql) => {
      await write(sql, `${near}-1`, message);
      await assert.rejects(streamVersion(sql, `${far}-1`), { reason: "foreign" });
    });
  });
  assert.equal(await streamVersion(sql, `${near}-1`), 0);
  assert.throws(() => partitionFor(sql, own, far), { reason: "several" });
});

test("the handle of a partition refuses streams of others, however they are named", async () => {
  const [own, far] = [categoryIn(1), categoryIn(2)];
  const partition = partitionFor(sql, own);
  const grouped = groupCommit(partition);
  assert.equal(await grouped(`${own}-1`, message), 0);
  const id = crypto.randomUUID();
  const attempts: (() => Promise<unknown>)[] = [
    () => grouped(`${far}-1`, message),
    () => grouped(`${far}-1`, { ...message, id }),
    () => importMessages(partition, [{ ...message, id, streamName: `${far}-1` }]),
    () => readMatching(partition, `${far}-%`),
    () => iterateMatching(partition, `${far}-%`).next(),
    async () => await subscribe(partition, far).next(),
    () => readAggregate(partition, far),
    () => drain(partition, { category: far, consumerId: "it", handle: () => {} }),
    () => waitFor(partition, { category: far, consumerId: "it" }, 1),
    () => streams(partition, far),
    () => consumers(partition, { category: far }),
    () => trace(partition, { streamName: `${far}-1` }),
    () => reply(partition, { ...message, metadata: { replyStreamName: `${far}-1` } }),
    () => synchronize(partition, `${far}-1`, [{ ...message, id }]),
  ];
  for (const attempt of attempts) {
    await assert.rejects(attempt, { name: "PartitionError", reason: "foreign" }, String(attempt));
  }
  assert.equal(await streamVersion(sql, `${far}-1`), -1);
  const [first] = await readStream(sql, `${own}-1`);
  for (const each of partitions(sql)) {
    assert.equal(
      (await trace(each, { id: first!.id })).messages.length,
      each === partition ? 1 : 0,
    );
  }
  assert.deepEqual(await readMatching(sql, `${own}-%`), await readStream(sql, `${own}-1`));
  assert.throws(() => inSchema(partition, "tenant_1"), {
    name: "TypeError",
    message: /inSchema\(\)/,
  });
  assert.throws(() => inSchema(sql, "tenant_1"), { name: "TypeError" });
});

describe("before the first statement, when the partition is asked for its mark", () => {
  const open = (number: number) => {
    const handle = postgres(databases[number]!.url, { max: 1, onnotice: () => {} });
    return { handle, own: partitioned(handles.map((it, at) => at === number ? handle : it)) };
  };

  test("a transaction that has the only connection goes on", async () => {
    const { handle, own } = open(1);
    const category = categoryIn(1);
    let reading: Promise<unknown> | undefined;
    await partitionFor(own, category).begin(async (sql) => {
      reading = readStream(own, `${category}-1`);
      await new Promise((resolve) => setTimeout(resolve, 10));
      await write(sql, `${category}-1`, message);
    });
    assert.equal((await reading as unknown[]).length, 1);
    await handle.end();
  });

  test("a transaction that has failed fails alone", async () => {
    const own = partitioned(handles);
    const category = categoryIn(1);
    await assert.rejects(
      partitionFor(own, category).begin(async (sql) => {
        await sql`select no_such_column`.catch(() => {});
        const failing = write(sql, `${category}-1`, message);
        await Promise.all([
          assert.rejects(failing, { code: "25P02" }),
          readStream(own, `${category}-1`),
        ]);
      }),
    );
    assert.equal(await write(own, `${category}-1`, message), 0);
  });
});

test("each partition has its own $all, and its own consumers of $all", async () => {
  const [own, far] = [categoryIn(1), categoryIn(2)];
  await write(sql, `${own}-1`, message);
  await write(sql, `${far}-1`, message);
  const partition = partitionFor(sql, own);
  const names = (await readAll(partition, { direction: "backward" })).map((it) => it.streamName);
  assert.ok(names.includes(`${own}-1`) && !names.includes(`${far}-1`));
  const drained = await drain(partition, { category: "$all", consumerId: "it", handle: () => {} });
  assert.ok(drained.handled > 0 && drained.caughtUp);
});

describe("verify()", () => {
  test("goes through all partitions", async () => {
    let checked = 0;
    for await (const page of verify(sql)) {
      assert.deepEqual(page.findings, []);
      checked = page.checked;
    }
    const counts = await Promise.all(
      handles.map((it) => it`select count(*)::int as count from message_store.messages`),
    );
    assert.equal(checked, counts.reduce((sum, [row]) => sum + row!.count, 0));
  });

  test("finds a category that is in two partitions", async () => {
    const category = categoryIn(0);
    await write(handles[2]!, `${category}-1`, message);
    const findings = (await listOf(verify(sql))).flatMap(({ findings }) => findings);
    assert.deepEqual(findings.map(({ kind }) => kind), ["partition"]);
    assert.match(
      findings[0]!.text,
      new RegExp(`^Partition 2 has messages of "${category}", which is in partition 0: `),
    );
    await handles[2]!`
      delete from message_store.messages where stream_name = ${`${category}-1`}`;
  });
});

describe("a database that is not the partition that it is given as", () => {
  const refused = (list: postgres.Sql[], number: number, text: string) =>
    assert.rejects(
      write(partitioned(list), `${categoryIn(number)}-1`, message),
      (error) => {
        assert.ok(error instanceof PartitionError && error.reason === "mark");
        assert.equal(error.message, text);
        return true;
      },
    );

  test("is refused in another's place, before the first statement", async () => {
    const [a, b, c, d] = handles as [postgres.Sql, postgres.Sql, postgres.Sql, postgres.Sql];
    await refused(
      [b, a, c, d],
      0,
      "Cannot use this database as partition 0 of 4: it is partition 1 of 4",
    );
    await refused(
      [a, a, c, d],
      1,
      "Cannot use this database as partition 1 of 4: it is partition 0 of 4",
    );
    const swapped = partitioned([b, a, c, d]);
    const last = async () =>
      (await handles[1]!`select max(global_position) from message_store.messages`)[0];
    const before = await last();
    const stream = `${categoryIn(0)}-1`;
    await assert.rejects(write(swapped, stream, message), PartitionError);
    await assert.rejects(partitionFor(swapped, stream).begin((sql) => write(sql, stream, message)));
    assert.deepEqual(await last(), before);
  });

  test("is refused where a handle is missing, or is extra", async () => {
    await assert.rejects(
      write(partitioned(handles.slice(0, 3)), "account-1", message),
      { reason: "mark", message: /as partition \d of 3: it is partition \d of 4$/ },
    );
    await assert.rejects(
      Promise.all(
        ["a", "b", "c", "d", "e"].map((it) =>
          write(partitioned([...handles, handles[0]!]), `${it}-1`, message)
        ),
      ),
      { reason: "mark" },
    );
  });

  test("is refused without a mark, with the words that make it", async () => {
    const schema = "unmarked";
    const none = partitioned([handles[0]!, inSchema(handles[1]!, schema)], {
      partitionOf: () => 1,
    });
    await assert.rejects(write(none, "account-1", message), {
      name: "NotInstalledError",
      message:
        /^Cannot find Message DB 1\.3 in the schema "unmarked" in this database: (?:(?!partition).)* \(partition 1 of 2\)$/,
    });
    await install(handles[0]!, { schema });
    const list = [inSchema(handles[0]!, schema)];
    await assert.rejects(write(partitioned(list), "account-1", message), {
      reason: "mark",
      message: "Cannot use this database as partition 0 of 1: it is not marked, which " +
        "install(sql, { partition: { number: 0, of: 1 } }) does",
    });
    const partition = { number: 0, of: 1 };
    assert.deepEqual((await install(handles[0]!, { schema, partition })).changes, [
      'set the mark "partition 0 of 1"',
    ]);
    assert.equal(await write(partitioned(list), "account-1", message), 0);
    assert.deepEqual((await install(handles[0]!, { schema, partition })).changes, []);
    await assert.rejects(
      install(handles[0]!, { schema, partition: { number: 1, of: 4 } }),
      /as partition 1 of 4: it is partition 0 of 1 already: are the addresses complete, and in/,
    );
  });

  test("is checked again after its server could not be reached", async () => {
    const down = postgres("postgres://postgres@127.0.0.1:1/none", { max: 1, connect_timeout: 1 });
    let isDown = true;
    const flaky: Sql = (...statement) => (isDown ? down : handles[0]!)(...statement);
    const own = partitioned([flaky, ...handles.slice(1)]);
    const [here, there] = [categoryIn(0), categoryIn(1)];
    await assert.rejects(write(own, `${here}-1`, message), {
      code: "ECONNREFUSED",
      message: /^Cannot reach partition 0 of 4: connect ECONNREFUSED/,
    });
    assert.equal(await write(own, `${there}-1`, message), 0);
    await assert.rejects(categories(own), {
      reason: "unanswered",
      partitions: [0],
      message: /^Cannot ask all 4 partitions: no answer of 0 \(Cannot reach partition 0 of 4: /,
    });
    isDown = false;
    assert.equal(await write(own, `${here}-1`, message), 0);
    await down.end();
  });
});

describe("over a gateway", () => {
  const over = (sql: Sql): Sql => {
    const handle = gateway(sql, { authorize: () => true });
    return fetchSql("http://gateway/sql", { fetch: (url, init) => handle(new Request(url, init)) });
  };

  test("a store of partitions is one store, and refuses what is not one", async () => {
    const client = over(sql);
    const [one, two] = [categoryIn(1), categoryIn(2)];
    const ids = [crypto.randomUUID(), crypto.randomUUID()];
    await write(client, `${one}-1`, { ...message, id: ids[0]! });
    await write(client, `${two}-1`, { ...message, id: ids[1]! });
    await assert.rejects(
      write(client, `${two}-1`, message, { expectedVersion: 7 }),
      WrongExpectedVersionError,
    );
    assert.equal((await readCategory(client, two)).length, 1);
    assert.deepEqual((await readMessages(client, ids)).map(({ id }) => id).sort(), ids.sort());
    assert.ok((await categories(client)).includes(one));
    assert.equal(await messageStoreVersion(client), "1.3.0");
    assert.equal(
      (await drain(client, { category: two, consumerId: "it", handle: () => {} })).handled,
      1,
    );
    const streams = [one, two].map((it) => ({ streamName: `${it}-1`, messages: [message] }));
    const refusals = {
      several: () => writeStreams(client, streams),
      "several partitions at once": () =>
        importMessages(
          client,
          [one, two].map((it) => ({ ...message, id: crypto.randomUUID(), streamName: `${it}-1` })),
        ),
      "all partitions at once": () => readAll(client),
    };
    for (const [text, refused] of Object.entries(refusals)) {
      await assert.rejects(refused, {
        name: "FetchSqlError",
        status: 422,
        problem: "PARTITION",
        message: RegExp(text),
      });
    }
  });

  test("says which partition gives no answer", async () => {
    const down = postgres("postgres://postgres@127.0.0.1:1/none", { max: 1, connect_timeout: 1 });
    const handle = gateway(partitioned([...handles.slice(0, 2), down, ...handles.slice(3)]), {
      authorize: () => true,
      onError: () => {},
    });
    const end = new AbortController();
    let problem: unknown;
    const client = fetchSql("http://gateway/sql", {
      signal: end.signal,
      async fetch(url, init) {
        const answer = await handle(new Request(url, init));
        problem = await answer.clone().json();
        end.abort();
        return answer;
      },
    });
    await assert.rejects(categories(client));
    assert.deepEqual(problem, {
      type: "about:blank",
      title: "Service Unavailable",
      status: 503,
      detail: "No answer of partition 2 now: try again later",
      code: "PARTITION",
      reason: "unanswered",
      partitions: [2],
    });
    await down.end();
  });

  test("subscriptions to categories of several partitions share a watch", async () => {
    const client = over(sql);
    const names = [0, 1, 2, 3].map(categoryIn);
    const end = new AbortController();
    const reading = names.map(async (name) => {
      const seen: number[] = [];
      for await (
        const { position } of subscribe(client, name, { pollInterval: 50, signal: end.signal })
      ) {
        seen.push(position);
        if (seen.length === 3) return seen;
      }
      return seen;
    });
    for (let at = 0; at < 3; at++) {
      for (const name of names) await write(sql, `${name}-1`, message);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.deepEqual(await Promise.all(reading), names.map(() => [0, 1, 2]));
    end.abort();
  });

  test("a gateway of one partition refuses streams of others", async () => {
    const [own, far] = [categoryIn(1), categoryIn(2)];
    const client = over(partitionFor(sql, own));
    assert.equal(await write(client, `${own}-1`, message), 0);
    const grouped = groupCommit(client);
    const id = crypto.randomUUID();
    const attempts = [
      () => Promise.all([grouped(`${far}-1`, message), grouped(`${far}-2`, message)]),
      () => importMessages(client, [{ ...message, id, streamName: `${far}-1` }]),
      async () => await subscribe(client, far).next(),
      () => readCategory(client, far),
    ];
    for (const attempt of attempts) {
      await assert.rejects(attempt, { status: 422, problem: "PARTITION" });
    }
    assert.equal(await streamVersion(sql, `${far}-1`), -1);
    assert.equal((await readAll(client)).length > 0, true);
  });

  test("each partition may be a gateway", async () => {
    const client = partitioned(handles.map(over));
    const stream = `${categoryIn(2)}-1`;
    assert.equal(await write(client, stream, message), 0);
    assert.equal((await readStream(client, stream)).length, 1);
  });

  test("live reads and resources are of the partition", async () => {
    const handle = gateway(sql, { authorize: () => true });
    const stream = `${categoryIn(3)}-1`;
    await write(sql, stream, message);
    const page = await handle(new Request(`http://gateway/streams/${stream}/messages`));
    assert.equal((await page.json()).messages.length, 1);
    const accept = { headers: { accept: "text/event-stream" } };
    const live = await handle(new Request(`http://gateway/streams/${stream}/messages`, accept));
    const reader = live.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("data:")) text += (await reader.read()).value;
    await reader.cancel();
    const all = await handle(new Request("http://gateway/messages", accept));
    assert.equal(all.status, 422);
    assert.equal((await all.json()).code, "PARTITION");
  });
});

test.each([[[]], [[1]], ["no list"], [undefined]])("refuses %j as handles", (list) => {
  assert.throws(() => partitioned(list as never), { name: "TypeError", message: /"handles"/ });
});

test("a store that is not partitioned has one handle", () => {
  assert.deepEqual(partitions(handles[0]!), [handles[0]]);
  assert.equal(partitionFor(handles[0]!, "account"), handles[0]);
});
