import assert from "node:assert/strict";
import fc from "fast-check";
import { LRUCache } from "lru-cache";
import { describe, test } from "vitest";
import {
  entity,
  type EntityCache,
  type Message,
  readStream,
  type Sql,
  write,
  writeBatch,
} from "../../mod.ts";
import { counting, numbered } from "./_folding.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const elsewhere = useDatabase();

/** A state that tells which messages there were, in which order. */
const listed = {
  init: (): unknown[] => [],
  evolve: (seen: unknown[], { data }: Message): unknown[] => [...seen, data],
};

/** Entities whose states are kept in a cache of their own. */
function cachedly(
  category: string,
  cache: EntityCache = new LRUCache<string, object>({ max: 99 }),
) {
  return entity({ ...listed, category, cache });
}

describe("a cached state", () => {
  test("saves reading: what is read is its message, and what is newer, in one statement", async () => {
    for (const cache of [new LRUCache<string, object>({ max: 10 }), new Map<string, object>()]) {
      const category = cache instanceof Map ? "map" : "lru";
      const it = cachedly(category, cache);
      await writeBatch(db.sql, `${category}-1`, numbered(50));
      const sql = counting(db.sql);
      const fetch = async () => {
        [sql.statements, sql.rows] = [0, 0];
        const { state } = await it.fetch(sql, "1");
        return [state.length, sql.statements, sql.rows];
      };
      assert.deepEqual(await fetch(), [50, 1, 50]);
      assert.deepEqual(await fetch(), [50, 1, 1]);
      await writeBatch(db.sql, `${category}-1`, numbered(3));
      assert.deepEqual(await fetch(), [53, 1, 1 + 3]);
      assert.deepEqual(await fetch(), [53, 1, 1]);
    }
  });

  test("goes before a snapshot, which is not read then", async () => {
    const it = entity({ ...listed, category: "first", cache: new Map(), snapshot: { every: 2 } });
    await writeBatch(db.sql, "first-1", numbered(2));
    await it.fetch(db.sql, "1");
    await writeBatch(db.sql, "first-1", numbered(1, 2));
    const sql = counting(db.sql);
    assert.deepEqual((await it.fetch(sql, "1")).state, [0, 1, 2]);
    assert.deepEqual([sql.statements, sql.rows], [1, 2]);
  });

  test("is one for each entity, and as many as the cache has room for", async () => {
    const cache = new LRUCache<string, object>({ max: 2 });
    const it = cachedly("room", cache);
    for (const id of ["1", "2", "3"]) await writeBatch(db.sql, `room-${id}`, numbered(4));
    const read = async (id: string) => {
      const sql = counting(db.sql);
      assert.deepEqual(await it.fetch(sql, id), { state: [0, 1, 2, 3], version: 3 });
      return sql.rows;
    };
    assert.deepEqual([await read("1"), await read("2"), await read("1")], [4, 4, 1]);
    assert.deepEqual([await read("3"), await read("1"), await read("2")], [4, 1, 4]);
    assert.equal(cache.size, 2);
  });

  test("is not kept of an entity without messages", async () => {
    const cache = new Map();
    await cachedly("void", cache).fetch(db.sql, "1");
    assert.equal(cache.size, 0);
  });

  test("is not kept of a fold that fails", async () => {
    let fails = true;
    const it = entity({
      category: "failing",
      init: () => 0,
      evolve: (sum, { data }: Message<number>) => {
        if (fails && data === 2) throw new Error("There is a two");
        return sum + data;
      },
      cache: new Map(),
    });
    await writeBatch(db.sql, "failing-1", numbered(4));
    await assert.rejects(it.fetch(db.sql, "1"), /There is a two/);
    fails = false;
    assert.deepEqual(await it.fetch(db.sql, "1"), { state: 6, version: 3 });
  });

  test("may be gone, or another's, whenever it is looked for", async () => {
    await writeBatch(db.sql, "odd-1", numbered(3));
    const oddities = [undefined, null, "text", 5, {}, [], { owner: {} }, {
      state: [9],
      version: 1,
    }];
    for (const odd of oddities) {
      const it = cachedly("odd", { get: () => odd, set: () => {} });
      assert.deepEqual(await it.fetch(db.sql, "1"), { state: [0, 1, 2], version: 2 });
    }
  });

  test("is right for 50 that fetch at once while others write", async () => {
    const it = entity({ ...listed, category: "rush", cache: new Map(), snapshot: { every: 7 } });
    const sql = db.connect({ max: 20 });
    let written = 0;
    const writing = Promise.all(
      Array.from({ length: 5 }, async () => {
        for (let turn = 0; turn < 20; turn++) {
          await it.decide(sql, "1", (_, version) => ({ type: "Numbered", data: version + 1 }), {
            retries: 1000,
          });
          written++;
        }
      }),
    );
    while (written < 100) {
      const all = await Promise.all(Array.from({ length: 50 }, () => it.fetch(sql, "1")));
      for (const { state, version } of all) {
        assert.deepEqual(state, Array.from({ length: version + 1 }, (_, at) => at));
      }
    }
    await writing;
    assert.equal((await it.fetch(sql, "1")).version, 99);
  });
});

describe("a state of a transaction that is rolled back", () => {
  const failing = (work: (sql: Sql) => Promise<unknown>) =>
    assert.rejects(
      db.sql.begin(async (sql) => {
        await work(sql);
        throw new Error("rolled back");
      }),
      /rolled back/,
    );

  test("is not used once it is gone, whatever is written in its place", async () => {
    for (const [id, size] of [["none", 0], ["less", 1], ["same", 2], ["more", 3]] as const) {
      const it = cachedly("undone");
      await write(db.sql, `undone-${id}`, { type: "Numbered", data: "before" });
      await it.fetch(db.sql, id);
      await failing(async (sql) => {
        await writeBatch(sql, `undone-${id}`, numbered(2));
        assert.deepEqual((await it.fetch(sql, id)).state, ["before", 0, 1]);
      });
      if (size > 0) await writeBatch(db.sql, `undone-${id}`, numbered(size, 50));
      const state = ["before", 50, 51, 52].slice(0, size + 1);
      assert.deepEqual(await it.fetch(db.sql, id), { state, version: size });
      assert.deepEqual(await it.fetch(db.sql, id), { state, version: size });
    }
  });

  test("is not used while the transaction goes on, by others", async () => {
    const it = cachedly("going");
    await db.sql.begin(async (sql) => {
      await write(sql, "going-1", { type: "Numbered", data: 0 });
      assert.deepEqual(await it.fetch(sql, "1"), { state: [0], version: 0 });
      assert.deepEqual(await it.fetch(db.sql, "1"), { state: [], version: -1 });
      assert.deepEqual(await it.fetch(sql, "1"), { state: [0], version: 0 });
    });
    assert.deepEqual(await it.fetch(db.sql, "1"), { state: [0], version: 0 });
  });

  test("is not used where the same id is written again, with other data or behind others", async () => {
    const [first, second] = [crypto.randomUUID(), crypto.randomUUID()];
    const it = cachedly("again");
    await failing(async (sql) => {
      await write(sql, "again-1", { type: "Numbered", data: "first try", id: first });
      await write(sql, "again-1", { type: "Numbered", data: "tried", id: second });
      await it.fetch(sql, "1");
    });
    await write(db.sql, "again-1", { type: "Numbered", data: "another's" });
    await write(db.sql, "again-1", { type: "Numbered", data: "tried", id: second });
    assert.deepEqual((await it.fetch(db.sql, "1")).state, ["another's", "tried"]);

    await failing(async (sql) => {
      await write(sql, "again-2", { type: "Numbered", data: "first try", id: first });
      await it.fetch(sql, "2");
    });
    await write(db.sql, "again-2", { type: "Numbered", data: "second try", id: first });
    assert.deepEqual((await it.fetch(db.sql, "2")).state, ["second try"]);
  });

  test("of a decision leaves nothing behind", async () => {
    const it = entity({ ...listed, category: "decided", cache: new Map(), snapshot: { every: 1 } });
    for (let turn = 0; turn < 3; turn++) {
      await failing(async (sql) => {
        for (const data of ["never", "nowhere"]) {
          await it.decide(sql, "1", () => ({ type: "Numbered", data }));
        }
        await it.fetch(sql, "1");
      });
      await it.decide(db.sql, "1", (state, version) => {
        assert.deepEqual(state, Array.from({ length: turn }, (_, at) => at));
        return { type: "Numbered", data: version + 1 };
      });
    }
    assert.deepEqual(await it.fetch(db.sql, "1"), { state: [0, 1, 2], version: 2 });
  });

  test("to a savepoint is not used behind it", async () => {
    const it = cachedly("saved");
    await db.sql.begin(async (sql) => {
      await write(sql, "saved-1", { type: "Numbered", data: 0 });
      await sql.savepoint(async (sql) => {
        await write(sql, "saved-1", { type: "Numbered", data: "undone" });
        await it.fetch(sql, "1");
        throw new Error("rolled back");
      }).catch(() => {});
      assert.deepEqual(await it.fetch(sql, "1"), { state: [0], version: 0 });
    });
  });

  test("is not used by a transaction that sees less than it", async () => {
    const it = cachedly("earlier");
    await writeBatch(db.sql, "earlier-1", numbered(2));
    await db.sql.begin("isolation level repeatable read", async (sql) => {
      assert.deepEqual(await it.fetch(sql, "1"), { state: [0, 1], version: 1 });
      await write(db.sql, "earlier-1", { type: "Numbered", data: 2 });
      assert.deepEqual(await it.fetch(db.sql, "1"), { state: [0, 1, 2], version: 2 });
      assert.deepEqual(await it.fetch(sql, "1"), { state: [0, 1], version: 1 });
    });
    assert.deepEqual(await it.fetch(db.sql, "1"), { state: [0, 1, 2], version: 2 });
  });
});

describe("a cache that is shared", () => {
  test("by two databases with streams of the same name mixes up no states", async () => {
    const it = cachedly("twin");
    // At the same global positions, too.
    for (const { sql } of [db, elsewhere]) {
      await sql`select setval('message_store.messages_global_position_seq', 1000000)`;
    }
    await writeBatch(db.sql, "twin-1", numbered(3));
    await writeBatch(elsewhere.sql, "twin-1", numbered(4, 50));
    for (let turn = 0; turn < 3; turn++) {
      assert.deepEqual((await it.fetch(db.sql, "1")).state, [0, 1, 2]);
      assert.deepEqual((await it.fetch(elsewhere.sql, "1")).state, [50, 51, 52, 53]);
    }
    const places = [db, elsewhere].map(async ({ sql }) => (await readStream(sql, "twin-1"))[2]);
    const [one, other] = await Promise.all(places);
    assert.equal(one!.globalPosition, other!.globalPosition);
    await writeBatch(db.sql, "twin-2", numbered(3));
    assert.equal((await it.fetch(db.sql, "2")).version, 2);
    assert.deepEqual(await it.fetch(elsewhere.sql, "2"), { state: [], version: -1 });
    await it.decide(elsewhere.sql, "2", (_, version) => ({ type: "Numbered", data: version }));
    assert.deepEqual((await it.fetch(elsewhere.sql, "2")).state, [-1]);
    assert.deepEqual((await it.fetch(db.sql, "2")).state, [0, 1, 2]);
  });

  test("by two entities of one category mixes up no states", async () => {
    const cache = new LRUCache<string, object>({ max: 10 });
    const list = cachedly("shared", cache);
    const sum = entity({
      category: "shared",
      init: () => 0,
      evolve: (sum, { data }: Message<number>) => sum + data,
      cache,
    });
    for (let size = 1; size < 4; size++) {
      await write(db.sql, "shared-1", { type: "Numbered", data: size });
      for (let turn = 0; turn < 2; turn++) {
        assert.equal((await list.fetch(db.sql, "1")).state.length, size);
        assert.equal((await sum.fetch(db.sql, "1")).state, size * (size + 1) / 2);
      }
    }
  });

  test("by entities of two categories serves both", async () => {
    const cache = new Map();
    const [one, two] = [cachedly("one", cache), cachedly("two", cache)];
    await writeBatch(db.sql, "one-1", numbered(5));
    await writeBatch(db.sql, "two-1", numbered(6));
    await Promise.all([one, two].map((it) => it.fetch(db.sql, "1")));
    const sql = counting(db.sql);
    assert.equal((await one.fetch(sql, "1")).state.length, 5);
    assert.equal((await two.fetch(sql, "1")).state.length, 6);
    assert.equal(sql.rows, 2);
  });
});

describe("an evolve that changes a cached state rather than making a new one", () => {
  interface Case {
    readonly init: () => unknown;
    readonly change: (state: never, data: unknown) => unknown;
  }
  const cases: Record<string, Case> = {
    "an array": {
      init: () => [],
      change: (state: unknown[], data) => (state.push(data), state),
    },
    "an object": {
      init: () => ({ count: 0 }),
      change: (state: { count: number }) => (state.count++, state),
    },
    "a member far down": {
      init: () => ({ a: [{ b: { list: [] } }] }),
      change: (state: { a: [{ b: { list: unknown[] } }] }, data) => {
        state.a[0].b.list.push(data);
        return { ...state };
      },
    },
    "a member of what was frozen already": {
      init: () => Object.freeze({ list: [] }),
      change: (state: { list: unknown[] }, data) => (state.list.push(data), state),
    },
    "a Map": {
      init: () => new Map(),
      change: (state: Map<unknown, unknown>, data) => state.set(data, 1),
    },
    "a Set": {
      init: () => new Set(),
      change: (state: Set<unknown>, data) => state.add(data),
    },
    "a value of a Map": {
      init: () => new Map([["list", []]]),
      change: (state: Map<string, unknown[]>, data) => (state.get("list")!.push(data), state),
    },
    "a Map that is a member, by clear()": {
      init: () => ({ map: new Map() }),
      change: (state: { map: Map<unknown, unknown> }) => (state.map.clear(), state),
    },
    "a Set that is a member, by delete()": {
      init: () => ({ set: new Set([0]) }),
      change: (state: { set: Set<unknown> }, data) => (state.set.delete(data), state),
    },
  };
  for (const [what, { init, change }] of Object.entries(cases)) {
    test(`is a TypeError, of ${what}`, async () => {
      const id = what.replaceAll(/\W/g, "");
      const definition = {
        category: "mutating",
        init,
        evolve: (state: unknown, { data }: Message) => change(state as never, data),
      };
      const it = entity({ ...definition, cache: new Map() });
      await writeBatch(db.sql, `mutating-${id}`, numbered(2));
      const before = await it.fetch(db.sql, id);
      const copy = structuredClone(before);
      await writeBatch(db.sql, `mutating-${id}`, numbered(1, 2));
      await assert.rejects(it.fetch(db.sql, id), TypeError);
      assert.deepEqual(before, copy);
      // Without a cache, nobody else has it.
      assert.equal((await entity(definition).fetch(db.sql, id)).version, 2);
    });
  }

  test("does not see a Map or Set that differs from any other in what it holds", async () => {
    const it = entity({
      category: "copying",
      init: () => ({ map: new Map<unknown, unknown>(), set: new Set<unknown>() }),
      evolve: ({ map, set }, { data }: Message) => ({
        map: new Map(map).set(data, { data }),
        set: new Set([...set, data]),
      }),
      cache: new Map(),
    });
    for (let size = 1; size <= 3; size++) {
      await writeBatch(db.sql, "copying-1", numbered(1, size));
      const { state } = await it.fetch(db.sql, "1");
      const all = Array.from({ length: size }, (_, at) => at + 1);
      assert.deepEqual(state, {
        map: new Map(all.map((data) => [data, { data }])),
        set: new Set(all),
      });
      assert.deepEqual(structuredClone(state), state);
      assert.deepEqual(Object.keys(state.map), []);
    }
  });

  test("is the only one: a state of a circle, of bytes or of a class is kept", async () => {
    interface Circle {
      self?: Circle;
    }
    const circle = entity({
      category: "odd",
      init: (): Circle => ({}),
      evolve: () => {
        const state: Circle = {};
        state.self = state;
        return state;
      },
      cache: new Map(),
    });
    const bytes = entity({
      category: "odd",
      init: () => ({ bytes: new Uint8Array(0), at: new Date(0) }),
      evolve: ({ bytes }, { time }) => ({ bytes: new Uint8Array(bytes.length + 1), at: time }),
      cache: new Map(),
    });
    await writeBatch(db.sql, "odd-2", numbered(1));
    for (let size = 1; size < 4; size++) {
      const { state } = await circle.fetch(db.sql, "2");
      assert.equal(state.self, state);
      assert.equal((await bytes.fetch(db.sql, "2")).state.bytes.length, size);
      await writeBatch(db.sql, "odd-2", numbered(1));
    }
  });
});

test("an entity with a cache is the fold of its stream, whatever is rolled back and deleted", async () => {
  const cache = new LRUCache<string, object>({ max: 2 });
  let run = 0;
  const step = fc.record({
    kind: fc.constantFrom("write", "decide", "fetch", "delete"),
    id: fc.constantFrom("1", "2", "3"),
    fails: fc.boolean(),
    inside: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const category = `mixed${++run}`;
      const entities = [
        entity({ ...listed, category, cache }),
        entity({ ...listed, category, cache: new Map(), snapshot: { every: 2 } }),
      ];
      const plain = entity({ ...listed, category });
      const check = async (sql: Sql, id: string) => {
        const expected = await plain.fetch(sql, id);
        for (const it of entities) assert.deepEqual(await it.fetch(sql, id), expected);
      };
      let next = 0;
      // Of few ids, so that those that were rolled back or deleted come again.
      const ids = Array.from({ length: 4 }, () => crypto.randomUUID());
      for (const { kind, id, fails, inside } of steps) {
        const work = async (sql: Sql) => {
          const data = next++;
          if (kind === "write") {
            const message = { type: "Numbered", data, id: ids[data % 4]! };
            const [stored] = await db.sql`
              select from message_store.messages where id = ${message.id}::text::uuid`;
            if (!stored) await write(sql, `${category}-${id}`, message);
          }
          if (kind === "decide") {
            await entities[data % 2]!.decide(sql, id, () => ({ type: "Numbered", data }));
          }
          if (kind === "delete") {
            const name = `${category}-${id}`;
            await sql`delete from message_store.messages where stream_name = ${name}::text`;
          }
          if (kind === "fetch" || inside) await check(sql, id);
        };
        const error = new Error("rolled back");
        await db.sql.begin(async (sql) => {
          await work(sql as unknown as Sql);
          if (fails) throw error;
        }).catch((it) => {
          if (it !== error) throw it;
        });
      }
      for (const id of ["1", "2", "3"]) await check(db.sql, id);
    }),
    { numRuns: 60 },
  );
});
