import assert from "node:assert/strict";
import fc from "fast-check";
import { LRUCache } from "lru-cache";
import { describe, test } from "vitest";
import * as z from "zod";
import {
  defineMessages,
  entity,
  type EntityDefinition,
  type Message,
  NO_STREAM,
  project,
  readStream,
  write,
  writeBatch,
} from "../../mod.ts";
import { numbered } from "./_folding.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

/** A state that tells which messages there were, in which order. */
const listed = {
  init: (): unknown[] => [],
  evolve: (seen: unknown[], { data }: Message): unknown[] => [...seen, data],
};

describe("entity.fetch()", () => {
  test("answers what init makes, and NO_STREAM, of an entity without messages", async () => {
    const none = entity({ ...listed, category: "none" });
    assert.deepEqual(await none.fetch(db.sql, "1"), { state: [], version: NO_STREAM });
  });

  test("answers the state behind the last message, and its position", async () => {
    const account = entity({ ...listed, category: "account" });
    await writeBatch(db.sql, "account-1", numbered(3));
    await writeBatch(db.sql, "account-2", numbered(1, 50));
    assert.deepEqual(await account.fetch(db.sql, "1"), { state: [0, 1, 2], version: 2 });
    assert.deepEqual(await account.fetch(db.sql, "2"), { state: [50], version: 0 });
    await write(db.sql, "account-1", { type: "Numbered", data: 3 }, { expectedVersion: 2 });
    assert.deepEqual(await account.fetch(db.sql, "1"), { state: [0, 1, 2, 3], version: 3 });
  });

  test("makes a state of its own for each call", async () => {
    const account = entity({ ...listed, category: "account" });
    const [one, two] = await Promise.all([
      account.fetch(db.sql, "1"),
      account.fetch(db.sql, "1"),
    ]);
    one.state.push("changed");
    assert.deepEqual(two.state, [0, 1, 2, 3]);
  });

  test("works with functions that were taken off the entity", async () => {
    const { fetch, decide } = entity({ ...listed, category: "account" });
    await decide(db.sql, "apart", () => ({ type: "Numbered", data: 0 }));
    assert.deepEqual(await fetch(db.sql, "apart"), { state: [0], version: 0 });
  });

  test("reads entities of compound ids, ids with a dash, and categories that have a type", async () => {
    for (const [category, id] of [["pair", "1+2"], ["pair", "a-b-c"], ["typed:v2", "1"]] as const) {
      const it = entity({ ...listed, category });
      await it.decide(db.sql, id, () => ({ type: "Numbered", data: id }));
      assert.deepEqual(await it.fetch(db.sql, id), { state: [id], version: 0 });
      assert.equal((await readStream(db.sql, `${category}-${id}`)).length, 1);
    }
  });

  test("parses messages by the catalogue, and passes over types without a handler", async () => {
    const messages = defineMessages({
      Deposited: { schema: z.object({ amount: z.number() }), aliases: ["PaidIn"] },
      Closed: z.object({}),
    });
    const account = entity({
      category: "typed",
      messages,
      init: () => ({ balance: 0 }),
      handlers: { Deposited: ({ balance }, { data }) => ({ balance: balance + data.amount }) },
    });
    await writeBatch(db.sql, "typed-1", [
      messages.Deposited({ amount: 3 }),
      { type: "PaidIn", data: { amount: 4 } },
      messages.Closed(),
      { type: "Unheard" },
    ]);
    assert.deepEqual(await account.fetch(db.sql, "1"), { state: { balance: 7 }, version: 3 });
    await write(db.sql, "typed-1", { type: "Deposited", data: { amount: "1" } });
    await assert.rejects(account.fetch(db.sql, "1"), { name: "InvalidMessageError" });
  });

  test("refuses types without a handler, where it is told to", async () => {
    const strict = entity({
      category: "strict",
      init: () => 0,
      handlers: { Counted: (count) => count + 1 },
      unknown: "refuse",
    });
    await writeBatch(db.sql, "strict-1", [{ type: "Counted" }]);
    assert.equal((await strict.fetch(db.sql, "1")).state, 1);
    await write(db.sql, "strict-1", { type: "Other" });
    await assert.rejects(strict.fetch(db.sql, "1"), { name: "InvalidMessageError" });
  });

  test("refuses an id that names no entity", async () => {
    const account = entity({ ...listed, category: "account" });
    for (const id of ["", undefined, null, 1]) {
      await assert.rejects(account.fetch(db.sql, id as string), TypeError, String(id));
      await assert.rejects(account.decide(db.sql, id as string, () => null), TypeError);
    }
  });

  test("refuses an evolve that returns nothing", async () => {
    const broken = entity({
      category: "account",
      init: () => ({ count: 0 }),
      evolve: (state) => void state.count++ as never,
    });
    await assert.rejects(broken.fetch(db.sql, "1"), {
      name: "TypeError",
      message: /its evolve has returned nothing, and must return the state$/,
    });
  });
});

describe("an entity of more messages than a page has", () => {
  const counter = { category: "long", init: () => 0, evolve: (count: number) => count + 1 };

  test("is read to its end, be there a snapshot, a cached state or neither", async () => {
    const snapshotted = entity({ ...counter, snapshot: { every: 1 } });
    const cached = entity({ ...counter, cache: new Map() });
    const both = entity({ ...counter, snapshot: { every: 5, version: 2 }, cache: new Map() });
    const plain = entity(counter);
    let size = 0;
    // What is newer is a page but one, a page, a page and one, and two pages and more.
    for (const more of [1, 999, 1000, 1001, 998, 2000, 2500]) {
      await writeBatch(db.sql, "long-1", numbered(more));
      size += more;
      const expected = { state: size, version: size - 1 };
      for (const it of [plain, snapshotted, cached, both]) {
        assert.deepEqual(await it.fetch(db.sql, "1"), expected, `${more} more`);
      }
    }
  });
});

describe("entity() refuses", () => {
  const { init, evolve } = listed;
  const attempt = (definition: unknown) => () => entity(definition as EntityDefinition<unknown>);

  test("what is no definition, before anything is read", () => {
    const category = "account";
    for (
      const definition of [
        undefined,
        null,
        "account",
        {},
        { init, evolve },
        { category: "account-1", init, evolve },
        { category: "", init, evolve },
        { category: "$all", init, evolve },
        { category, evolve },
        { category, init },
        { category, init, evolve, handlers: {} },
        { category, init, handlers: { One: 1 } },
        { category, init, handlers: 5 },
        { category, init, evolve, messages: { One: z.null() } },
        { category, init, evolve, unknown: "ignore" },
        { category, init, evolve, cache: null },
        { category, init, evolve, cache: {} },
        { category, init, evolve, cache: { get: () => 1 } },
        { category, init, evolve, cache: true },
        { category, init, evolve, snapshot: {} },
        { category, init, evolve, snapshot: true },
        { category, init, evolve, snapshot: 100 },
        { category, init, evolve, snapshot: null },
        { category, init, evolve, snapshot: { every: "100" } },
        { category, init, evolve, snapshot: { every: 1, version: "" } },
        { category, init, evolve, snapshot: { every: 1, version: null } },
        { category, init, evolve, snapshot: { every: 1, version: {} } },
        { category, init, evolve, snapshot: { every: 1, schema: {} } },
        { category, init, evolve, snapshot: { every: 1, schema: null } },
      ]
    ) assert.throws(attempt(definition), TypeError, JSON.stringify(definition));
  });

  test("a snapshot after no message, or after a part of one", () => {
    for (const every of [0, -1, 1.5, NaN, Infinity]) {
      assert.throws(
        attempt({ category: "account", init, evolve, snapshot: { every } }),
        RangeError,
        String(every),
      );
    }
  });

  test("a first state that JSON cannot bring back, where snapshots have no schema", () => {
    const snapshot = { every: 1 };
    for (
      const state of [
        new Map(),
        new Set(),
        new Date(0),
        10n,
        NaN,
        undefined,
        () => 1,
        new (class Money {
          amount = 1;
        })(),
        new Uint8Array(1),
        { deep: [{ at: new Date(0) }] },
        { balances: new Map([["1", 1]]) },
        [undefined],
      ]
    ) {
      const definition = { category: "account", init: () => state, evolve, snapshot };
      assert.throws(attempt(definition), TypeError, String(state));
      // Without snapshots, any state will do.
      entity<unknown>({ category: "account", init: () => state, evolve: (it) => it });
    }
    assert.throws(
      attempt({ category: "account", init: () => ({ at: new Date(0) }), evolve, snapshot }),
      {
        message:
          'Cannot write a snapshot: "at" is [object Date], which JSON does not bring back: ' +
          "give the snapshot a schema that does",
      },
    );
  });
});

test("an entity with snapshots or a cache, however it is written and read, is the fold of its stream", async () => {
  let run = 0;
  type Step =
    | readonly ["write", number]
    | readonly ["fetch", number]
    | readonly [
      "decide",
      number,
      number,
    ];
  const way = fc.nat(4);
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.tuple(fc.constant("write" as const), fc.integer({ min: 1, max: 4 })),
    fc.tuple(fc.constant("fetch" as const), way),
    fc.tuple(fc.constant("decide" as const), way, fc.nat(3)),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 6 }),
      fc.array(step, { maxLength: 25 }),
      async (every, steps) => {
        const category = `any${++run}`;
        const base = { ...listed, category };
        const lru = new LRUCache<string, object>({ max: 1 });
        // The same process twice, by snapshots; one that has a cache as well; a small shared cache.
        const entities = [
          entity(base),
          entity({ ...base, snapshot: { every } }),
          entity({ ...base, snapshot: { every }, cache: new Map() }),
          entity({ ...base, snapshot: { every: every + 1, version: "b" }, cache: lru }),
          entity({ ...base, cache: lru }),
        ];
        let next = 0;
        const make = (count: number) =>
          Array.from({ length: count }, () => numbered(1, next++)[0]!);
        for (const [kind, first, second = 0] of steps) {
          if (kind === "write") {
            await writeBatch(db.sql, `${category}-1`, make(first));
            continue;
          }
          const expected = {
            state: Array.from({ length: next }, (_, at) => at),
            version: next - 1,
          };
          const it = entities[first]!;
          if (kind === "fetch") {
            assert.deepEqual(await it.fetch(db.sql, "1"), expected);
          } else {
            let asked;
            const { version } = await it.decide(db.sql, "1", (state, version) => {
              asked = { state, version };
              return make(second);
            });
            assert.deepEqual(asked, expected);
            assert.equal(version, next - 1);
          }
        }
        const folded = await project(db.sql, `${category}-1`, listed);
        assert.equal(folded.version, next - 1);
        for (const it of entities) assert.deepEqual(await it.fetch(db.sql, "1"), folded);
      },
    ),
    { numRuns: 80 },
  );
});
