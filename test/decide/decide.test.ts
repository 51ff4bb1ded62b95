import assert from "node:assert/strict";
import { describe, test } from "vitest";
import * as z from "zod";
import {
  decide,
  defineMessages,
  type Entity,
  entity,
  type Fetched,
  type Message,
  type MessageInput,
  NO_STREAM,
  readCategory,
  readLastMessage,
  readStream,
  type Sql,
  streamVersion,
  write,
  writeBatch,
  WrongExpectedVersionError,
} from "../../mod.ts";
import { whileLocked } from "../_locks.ts";
import { counting, lockCategory, numbered } from "./_folding.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

/** Entities whose state tells which messages there were, in which order. */
function listed(category: string) {
  return entity({
    category,
    init: (): unknown[] => [],
    evolve: (seen, { data }: Message) => [...seen, data],
  });
}

const said = (data: unknown): MessageInput => ({ type: "Said", data });

/** Writes as another would, while somebody decides: so often. */
function interrupting(streamName: string, times: number) {
  let left = times;
  return async () => {
    if (left-- > 0) await write(db.sql, streamName, said("another's"));
  };
}

describe("entity.decide()", () => {
  const it = listed("one");

  test("gives the decision the state and its version, and writes what it answers", async () => {
    const asked: unknown[] = [];
    const first = await it.decide(db.sql, "1", (state, version) => {
      asked.push([state, version]);
      return said("first");
    });
    const second = await it.decide(db.sql, "1", (state, version) => {
      asked.push([state, version]);
      return [said("second"), said("third")];
    });
    assert.deepEqual(asked, [[[], NO_STREAM], [["first"], 0]]);
    assert.equal(first.version, 0);
    const last = await readLastMessage(db.sql, "one-1");
    assert.deepEqual(second, {
      state: ["first", "second", "third"],
      version: 2,
      globalPosition: last!.globalPosition,
    });
    assert.deepEqual((await it.fetch(db.sql, "1")).state, ["first", "second", "third"]);
  });

  test("writes nothing where nothing is decided", async () => {
    await writeBatch(db.sql, "one-nothing", numbered(3));
    for (const nothing of [null, undefined, []]) {
      const sql = counting(db.sql);
      assert.deepEqual(await it.decide(sql, "nothing", () => nothing), {
        state: [0, 1, 2],
        version: 2,
        globalPosition: null,
      });
      assert.equal(sql.statements, 1);
    }
    assert.deepEqual(await it.decide(db.sql, "none", () => {}), {
      state: [],
      version: NO_STREAM,
      globalPosition: null,
    });
    assert.equal(await streamVersion(db.sql, "one-nothing"), 2);
  });

  test("is two statements: it reads and writes", async () => {
    const sql = counting(db.sql);
    await it.decide(sql, "two", () => [said(1), said(2)]);
    assert.equal(sql.statements, 2);
  });

  test("waits for a decision that takes its time", async () => {
    const { version } = await it.decide(db.sql, "late", async (state) => {
      await write(db.sql, "one-other", said("meanwhile"));
      return said(state.length);
    });
    assert.equal(version, 0);
  });

  test("writes nothing where the decision throws, and asks no more", async () => {
    const error = new Error("There is not enough");
    let asked = 0;
    for (const how of ["throws", "rejects"]) {
      const decision = (): Promise<never> => {
        asked++;
        if (how === "throws") throw error;
        return Promise.reject(error);
      };
      await assert.rejects(it.decide(db.sql, "thrown", decision), (it) => it === error);
    }
    assert.equal(asked, 2);
    assert.equal(await streamVersion(db.sql, "one-thrown"), NO_STREAM);
  });

  test("does not take the decision's own conflict for its own", async () => {
    await write(db.sql, "one-foreign", said("there"));
    let asked = 0;
    await assert.rejects(
      it.decide(db.sql, "mine", async () => {
        asked++;
        await write(db.sql, "one-foreign", said("x"), { expectedVersion: NO_STREAM });
      }),
      { name: "WrongExpectedVersionError", streamName: "one-foreign" },
    );
    assert.equal(asked, 1);
  });

  test("decides again by the new state where another was faster", async () => {
    const interrupt = interrupting("one-conflict", 3);
    const asked: unknown[] = [];
    const decided = await it.decide(db.sql, "conflict", async (state, version) => {
      asked.push([state.length, version]);
      await interrupt();
      return said(`at ${version}`);
    });
    assert.deepEqual(asked, [[0, -1], [1, 0], [2, 1], [3, 2]]);
    assert.equal(decided.version, 3);
    const { state } = await it.fetch(db.sql, "conflict");
    assert.deepEqual(state, ["another's", "another's", "another's", "at 2"]);
  });

  test("may decide nothing, or throw, when it is asked again", async () => {
    for (const [id, end] of [["nothing-now", null], ["throws-now", new Error("taken")]] as const) {
      const interrupt = interrupting(`one-${id}`, 1);
      const deciding = it.decide(db.sql, id, async (state) => {
        await interrupt();
        if (state.length === 0) return said("mine");
        if (end) throw end;
      });
      if (end) await assert.rejects(deciding, (it) => it === end);
      else {
        const state = ["another's"];
        assert.deepEqual(await deciding, { state, version: 0, globalPosition: null });
      }
      assert.deepEqual((await it.fetch(db.sql, id)).state, ["another's"]);
    }
  });

  test("asks once more than there are retries, and then tells of the conflict", async () => {
    for (const retries of [0, 1, 3]) {
      const id = `retries-${retries}`;
      const interrupt = interrupting(`one-${id}`, retries + 1);
      let asked = 0;
      await assert.rejects(
        it.decide(db.sql, id, async () => {
          asked++;
          await interrupt();
          return said("mine");
        }, { retries }),
        {
          name: "WrongExpectedVersionError",
          streamName: `one-${id}`,
          expectedVersion: retries - 1,
          actualVersion: retries,
        },
      );
      assert.equal(asked, retries + 1);
      // One conflict less, and it has written.
      const fewer = interrupting(`one-${id}`, retries);
      await it.decide(db.sql, id, async () => (await fewer(), said("mine")), { retries });
      assert.equal((await it.fetch(db.sql, id)).state.at(-1), "mine");
    }
  });

  test("writes a message whose id is the caller's once", async () => {
    const id = crypto.randomUUID();
    const decision = () => ({ ...said("once"), id });
    const first = await it.decide(db.sql, "once", decision);
    await write(db.sql, "one-once", said("after"));
    assert.deepEqual(await it.decide(db.sql, "once", decision), first);
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => it.decide(db.sql, "once", decision)),
    );
    assert.deepEqual(answers, Array(10).fill(first));
    assert.deepEqual((await it.fetch(db.sql, "once")).state, ["once", "after"]);
    await assert.rejects(it.decide(db.sql, "elsewhere", decision), {
      name: "DuplicateMessageError",
    });
  });

  test("may be called in a decision, about another entity", async () => {
    await it.decide(db.sql, "outer", async () => {
      const { version } = await it.decide(db.sql, "inner", () => said("inner"));
      return said(version);
    });
    assert.deepEqual((await it.fetch(db.sql, "outer")).state, [0]);
    // About the same entity, that is a conflict like any other.
    let asked = 0;
    await it.decide(db.sql, "outer", async () => {
      if (asked++ === 0) await it.decide(db.sql, "outer", () => said("inner"));
      return said("outer");
    });
    assert.deepEqual((await it.fetch(db.sql, "outer")).state, [0, "inner", "outer"]);
    assert.equal(asked, 2);
  });

  test("writes what fits the catalogue, and nothing else", async () => {
    const messages = defineMessages({
      Deposited: z.object({ amount: z.number().positive() }),
    });
    const account = entity({
      category: "typed",
      messages,
      init: () => 0,
      handlers: { Deposited: (sum, { data }) => sum + data.amount },
    });
    await account.decide(db.sql, "1", () => messages.Deposited({ amount: 1 }));
    await account.decide(db.sql, "1", () => ({ type: "Deposited", data: { amount: 2 } }));
    const other = { type: "Withdrawn", data: { amount: 1 } } as never;
    const wrong = { type: "Deposited", data: { amount: -1 } } as const;
    for (const messages of [[other], [wrong], [{ ...wrong, data: { amount: 4 } }, wrong]]) {
      await assert.rejects(account.decide(db.sql, "1", () => messages), {
        name: "InvalidMessageError",
        message: /to stream "typed-1"/,
      });
    }
    assert.deepEqual(await account.fetch(db.sql, "1"), { state: 3, version: 1 });
  });

  test("refuses what is no decision, no message and no number of retries", async () => {
    const wrong = "wrong" as never;
    await assert.rejects(it.decide(db.sql, "1", undefined as never), TypeError);
    await assert.rejects(it.decide(db.sql, "1", () => wrong), TypeError);
    await assert.rejects(it.decide(db.sql, "1", () => ({}) as never), TypeError);
    await assert.rejects(it.decide(db.sql, "1", () => [[said(1)]] as never), TypeError);
    await assert.rejects(it.decide(db.sql, "1", () => said(1n)), TypeError);
    await assert.rejects(it.decide(db.sql, "1", () => null, { retries: wrong }), TypeError);
    await assert.rejects(it.decide(db.sql, "1", () => null, null as never), TypeError);
    for (const retries of [-1, 0.5, NaN, Infinity]) {
      await assert.rejects(it.decide(db.sql, "1", () => null, { retries }), RangeError);
    }
  });
});

describe("decide() in a transaction of the caller's", () => {
  const it = listed("inside");

  test("sees, and adds to, what that has written", async () => {
    await db.sql.begin(async (sql) => {
      await write(sql, "inside-1", said("first"));
      const { version } = await it.decide(sql, "1", (state) => said(state.length));
      assert.equal(version, 1);
      await decide(sql, { one: [it, "1"], two: [it, "2"] }, ({ one }) => ({ two: said(one) }));
    });
    assert.deepEqual((await it.fetch(db.sql, "1")).state, ["first", 1]);
    assert.deepEqual((await it.fetch(db.sql, "2")).state, [["first", 1]]);
  });

  test("is undone with it", async () => {
    await assert.rejects(
      db.sql.begin(async (sql) => {
        await it.decide(sql, "undone", () => said("never"));
        throw new Error("rolled back");
      }),
      /rolled back/,
    );
    assert.equal(await streamVersion(db.sql, "inside-undone"), NO_STREAM);
  });

  for (const isolation of ["read committed", "repeatable read", "serializable"]) {
    test(`tells of a conflict, after which the caller begins again: ${isolation}`, async () => {
      const id = isolation.replace(" ", "");
      const interrupt = interrupting(`inside-${id}`, 2);
      const conflicts: unknown[] = [];
      let asked = 0;
      const attempt = () =>
        db.sql.begin(`isolation level ${isolation}`, (sql) =>
          it.decide(sql, id, async (state) => {
            asked++;
            await interrupt();
            return said(state.length);
          }));
      for (let done = false; !done;) {
        done = await attempt().then(() => true, (error) => (conflicts.push(error), false));
      }
      assert.equal(asked, 3);
      assert.equal(conflicts.length, 2);
      for (const error of conflicts) {
        assert.ok(error instanceof WrongExpectedVersionError, String(error));
        assert.equal(error.streamName, `inside-${id}`);
      }
      const { state } = await it.fetch(db.sql, id);
      assert.deepEqual(state, ["another's", "another's", 2]);
    });
  }

  test("tells of a conflict about several entities, too", async () => {
    const interrupt = interrupting("inside-b", 1);
    await assert.rejects(
      db.sql.begin((sql) =>
        decide(sql, { a: [it, "a"], b: [it, "b"] }, async () => {
          await interrupt();
          return { a: said("never") };
        })
      ),
      { name: "WrongExpectedVersionError", streamName: "inside-b" },
    );
    assert.equal(await streamVersion(db.sql, "inside-a"), NO_STREAM);
  });

  test("can be begun again from a savepoint", async () => {
    const interrupt = interrupting("inside-savepoint", 1);
    const conflicts: unknown[] = [];
    await db.sql.begin(async (sql) => {
      await write(sql, "kept-1", said("kept"));
      const attempt = () =>
        sql.savepoint((sql) =>
          it.decide(sql, "savepoint", async (state) => {
            await interrupt();
            return said(state.length);
          })
        );
      await attempt().catch((error) => conflicts.push(error));
      await attempt();
    });
    assert.deepEqual(conflicts.map((it) => (it as Error).name), ["WrongExpectedVersionError"]);
    assert.deepEqual((await it.fetch(db.sql, "savepoint")).state, ["another's", 1]);
    assert.equal(await streamVersion(db.sql, "kept-1"), 0);
  });

  test("passes on an error that the transaction had before", async () => {
    await assert.rejects(
      db.sql.begin(async (sql) => {
        await sql`select 1 / 0`.catch(() => {});
        await it.decide(sql, "1", () => said("never"));
      }),
      { code: "22012" },
    );
  });
});

describe("100 decides on one entity at once", () => {
  const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);

  for (const [handles, max] of [[1, 10], [1, 50], [5, 10]] as const) {
    test(`all succeed once, over ${handles} handle(s) of ${max} connections`, async () => {
      const it = entity({
        category: "contended",
        init: () => new Set<unknown>(),
        evolve: (seen, { data }: Message) => new Set([...seen, data]),
        snapshot: {
          every: 10,
          schema: z.codec(z.array(z.unknown()), z.set(z.unknown()), {
            decode: (members) => new Set(members),
            encode: (set) => [...set],
          }),
        },
        cache: new Map(),
      });
      const sqls = Array.from({ length: handles }, () => db.connect({ max }));
      const id = `${handles}x${max}`;
      const decided = await Promise.all(
        numbers(100).map((at) =>
          it.decide(sqls[at % handles]!, id, (state, version) => {
            assert.equal(state.size, version + 1);
            assert.ok(!state.has(at));
            return said(at);
          })
        ),
      );
      const stored = await readStream(db.sql, `contended-${id}`);
      assert.deepEqual(decided.map(({ version }) => version).sort((a, b) => a - b), numbers(100));
      assert.deepEqual(
        decided.map(({ version }) => stored[version]!.data),
        numbers(100),
      );
      assert.equal((await it.fetch(db.sql, id)).state.size, 100);
      await Promise.all(sqls.map((sql) => sql.end()));
    });
  }

  test("in transactions that the callers begin again lose none", async () => {
    const it = listed("transacted");
    const sql = db.connect({ max: 10 });
    const once = async (at: number): Promise<void> => {
      try {
        await sql.begin((sql) => it.decide(sql, "1", () => said(at)));
      } catch (error) {
        if (!(error instanceof WrongExpectedVersionError)) throw error;
        await once(at);
      }
    };
    await Promise.all(numbers(40).map(once));
    const { state } = await it.fetch(db.sql, "1");
    assert.deepEqual((state as number[]).sort((a, b) => a - b), numbers(40));
  });
});

describe("decide() over several entities", () => {
  const account = entity({
    category: "account",
    init: () => 0,
    evolve: (balance, { data }: Message<number>) => balance + data,
  });
  const log = listed("log");
  const moved = (data: number): MessageInput => ({ type: "Moved", data });

  test("gives the decision the states and versions by name, and writes to each what it answers", async () => {
    await writeBatch(db.sql, "account-1", [moved(5), moved(6)]);
    let asked;
    const decided = await decide(
      db.sql,
      { from: [account, "1"], to: [account, "2"], log: [log, "1"], other: [log, "2"] },
      (states, versions) => {
        asked = [states, versions];
        return { from: moved(-4), to: [moved(3), moved(1)], log: null, other: [] };
      },
    );
    assert.deepEqual(asked, [
      { from: 11, to: 0, log: [], other: [] },
      { from: 1, to: -1, log: -1, other: -1 },
    ]);
    const last = await readLastMessage(db.sql, "account-2");
    assert.deepEqual(decided, {
      states: { from: 7, to: 4, log: [], other: [] },
      versions: { from: 2, to: 1, log: -1, other: -1 },
      globalPosition: last!.globalPosition,
    });
    assert.equal((await account.fetch(db.sql, "1")).state, 7);
    assert.equal((await account.fetch(db.sql, "2")).state, 4);
    assert.equal(await streamVersion(db.sql, "log-1"), NO_STREAM);
  });

  test("writes nothing where nothing is decided", async () => {
    const nothings = [null, undefined, {}, { a: null, b: [] }, { a: undefined }];
    for (const nothing of nothings) {
      const sql = counting(db.sql);
      const decided = await decide(
        sql,
        { a: [account, "1"], b: [log, "none"] },
        () => nothing as { a?: null },
      );
      assert.deepEqual(decided, {
        states: { a: 7, b: [] },
        versions: { a: 2, b: NO_STREAM },
        globalPosition: null,
      });
      assert.equal(sql.statements, 2);
    }
  });

  test("is one statement an entity, and one that writes", async () => {
    const sql = counting(db.sql);
    await decide(
      sql,
      { a: [log, "s1"], b: [log, "s2"], c: [account, "s3"] },
      () => ({ a: said(1), b: said(2), c: moved(3) }),
    );
    assert.equal(sql.statements, 4);
  });

  test("decides again where another has written to any of them, be it one that is only read", async () => {
    for (const written of ["a", "b", "c"]) {
      const id = (name: string) => `${name}-${written}`;
      const interrupt = interrupting(`log-${id(written)}`, 2);
      const asked: unknown[] = [];
      const { versions } = await decide(
        db.sql,
        { a: [log, id("a")], b: [log, id("b")], c: [log, id("c")] },
        async (states, versions) => {
          asked.push({ ...versions });
          await interrupt();
          return { a: said(states.c.length), b: said(states.b.length) };
        },
      );
      const at = (count: number) => ({ a: -1, b: -1, c: -1, [written]: count });
      assert.deepEqual(asked, [at(-1), at(0), at(1)]);
      const after = { a: 0, b: 0, c: -1, [written]: written === "c" ? 1 : 2 };
      assert.deepEqual(versions, after);
    }
  });

  test("writes to none of them where one is refused, by its version, catalogue or id", async () => {
    await write(db.sql, "log-taken", said("there"));
    const [known] = await readStream(db.sql, "log-taken");
    const typed = entity({
      category: "strict",
      messages: defineMessages({ Said: z.object({ word: z.string() }) }),
      init: () => 0,
      evolve: (count) => count + 1,
    });
    const interrupt = interrupting("log-late", 1);
    await assert.rejects(
      decide(db.sql, { a: [log, "whole"], b: [log, "late"] }, async () => {
        await interrupt();
        return { a: said("never"), b: said("never") };
      }, { retries: 0 }),
      { name: "WrongExpectedVersionError", streamName: "log-late", actualVersion: 0 },
    );
    await assert.rejects(
      decide(db.sql, { a: [log, "whole"], b: [typed, "1"] }, () => ({
        a: said("never"),
        b: { type: "Said", data: { word: 1 as unknown as string } },
      })),
      { name: "InvalidMessageError", message: /to stream "strict-1"/ },
    );
    await assert.rejects(
      decide(db.sql, { a: [log, "whole"], b: [log, "late"] }, () => ({
        a: said("never"),
        b: { ...said("known"), id: known!.id },
      })),
      { name: "DuplicateMessageError" },
    );
    assert.equal(await streamVersion(db.sql, "log-whole"), NO_STREAM);
    assert.equal(await streamVersion(db.sql, "log-late"), 0);
  });

  test("writes by each entity's catalogue", async () => {
    const withCodec = defineMessages({ Opened: z.object({ n: z.number() }) }, {
      codec: { encode: (data) => [data], decode: (data) => (data as unknown[])[0] },
    });
    const millis = defineMessages({
      Opened: z.object({
        at: z.codec(z.number(), z.date(), {
          decode: (time) => new Date(time),
          encode: (date) => date.getTime(),
        }),
      }),
    });
    const a = entity({
      category: "cat",
      messages: millis,
      init: () => [] as Date[],
      handlers: { Opened: (seen, { data }) => [...seen, data.at] },
    });
    const b = entity({
      category: "dog",
      messages: withCodec,
      init: () => 0,
      handlers: { Opened: (_, { data }) => data.n },
    });
    const at = new Date("2026-01-02T03:04:05.678Z");
    await decide(db.sql, { a: [a, "1"], b: [b, "1"] }, () => ({
      a: millis.Opened({ at }),
      b: { type: "Opened", data: { n: 7 } },
    }));
    assert.deepEqual((await readStream(db.sql, "cat-1"))[0]!.data, { at: at.getTime() });
    assert.deepEqual((await readStream(db.sql, "dog-1"))[0]!.data, [{ n: 7 }]);
    assert.deepEqual((await a.fetch(db.sql, "1")).state, [at]);
    assert.deepEqual((await b.fetch(db.sql, "1")).state, 7);
  });

  test("refuses an entity that is there twice, before anything is read", async () => {
    const again = listed("log");
    const sql = counting(db.sql);
    for (const other of [log, again]) {
      await assert.rejects(
        decide(sql, { a: [log, "1"], b: [other, "1"] }, () => ({ a: said(1) })),
        {
          name: "TypeError",
          message: 'Cannot use "log-1" as "participants": it must be there once',
        },
      );
    }
    assert.equal(sql.statements, 0);
  });

  test("refuses what is no participant, and what is decided about nobody", async () => {
    const attempt = (participants: unknown, decided: unknown = {}) =>
      decide(db.sql, participants as { a: [typeof log, string] }, () => decided as never);
    for (
      const participants of [
        undefined,
        null,
        5,
        { a: log },
        { a: [log] },
        { a: [log, ""] },
        { a: ["log", "1"] },
        { a: [null, "1"] },
        { a: [log, 1] },
      ]
    ) await assert.rejects(attempt(participants), TypeError, JSON.stringify(participants));
    for (
      const decided of [
        { b: said("lost") },
        { a: said("kept"), A: said("lost") },
        said("lost"),
        [said("lost")],
        "lost",
        { b: null },
      ]
    ) {
      await assert.rejects(
        attempt({ a: [log, "misspelled"] }, decided),
        TypeError,
        JSON.stringify(decided),
      );
    }
    assert.equal(await streamVersion(db.sql, "log-misspelled"), NO_STREAM);
    await assert.rejects(
      decide(db.sql, { a: [log, "1"] }, undefined as never),
      TypeError,
    );
    await assert.rejects(
      decide(db.sql, { a: [log, "1"] }, () => null as never, { retries: -1 }),
      RangeError,
    );
  });

  test("is written once where it is sent again", async () => {
    const [a, b] = [{ ...said("a"), id: crypto.randomUUID() }, {
      ...said("b"),
      id: crypto.randomUUID(),
    }];
    const send = () =>
      decide(
        db.sql,
        { a: [log, "sent-a"], b: [log, "sent-b"], c: [log, "sent-c"] },
        () => ({ a, b }),
      );
    const first = await send();
    const answers = await Promise.all(Array.from({ length: 8 }, send));
    assert.deepEqual(answers, Array(8).fill(first));
    await write(db.sql, "log-sent-c", said("moved on"));
    assert.deepEqual((await send()).globalPosition, first.globalPosition);
    assert.equal(await streamVersion(db.sql, "log-sent-a"), 0);
    assert.equal(await streamVersion(db.sql, "log-sent-b"), 0);
  });

  test("keeps what holds of two entities together, where each decision writes to one of them", async () => {
    // At least one doctor is on call: each looks at both, and goes off only if the other is there.
    const [doctor, nurse] = ["doctor", "nurse"].map((category) =>
      entity({ category, init: () => true, evolve: (_, { data }: Message<boolean>) => data })
    ) as [Entity<boolean>, Entity<boolean>];
    const sql = db.connect({ max: 20 });
    const set = (data: boolean): MessageInput => ({ type: "Set", data });
    // Of one category, whose lock both take; and of two.
    for (const [first, second, ids] of [[doctor, doctor, "ab"], [doctor, nurse, "cc"]] as const) {
      const [one, two] = [...ids] as [string, string];
      const pair = { one: [first, one], two: [second, two] } as const;
      let offs = 0;
      for (let round = 0; round < 10; round++) {
        await Promise.all(
          Array.from({ length: 16 }, (_, at) =>
            decide(sql, pair, ({ one, two }) => {
              if (at % 4 === 3) return at % 8 === 3 ? { one: set(true) } : { two: set(true) };
              if (!one || !two) return {};
              offs++;
              return at % 2 ? { one: set(false) } : { two: set(false) };
            })),
        );
      }
      assert.ok(offs > 10);
      // Replayed in the order of the store, never are both off.
      const streams = [`${first.category}-${one}`, `${second.category}-${two}`];
      const categories = [...new Set([first.category, second.category])];
      const messages = (await Promise.all(
        categories.map((name) => readCategory<boolean>(db.sql, name, { batchSize: 10_000 })),
      )).flat().filter(({ streamName }) => streams.includes(streamName))
        .sort((a, b) => a.globalPosition - b.globalPosition);
      const on = new Map(streams.map((name) => [name, true]));
      for (const { streamName, data } of messages) {
        on.set(streamName, data);
        assert.ok([...on.values()].includes(true), "nobody is on call");
      }
      assert.ok(messages.filter(({ data }) => !data).length >= 10);
    }
  });

  test("neither makes nor loses money, whoever moves it at the same time", async () => {
    const sql = db.connect({ max: 10 });
    const ids = ["m1", "m2", "m3"];
    for (const id of ids) await write(db.sql, `account-${id}`, moved(10));
    await Promise.all(Array.from({ length: 60 }, async (_, at) => {
      const [from, to] = [ids[at % 3]!, ids[(at + 1 + at % 2) % 3]!];
      await decide(sql, { from: [account, from], to: [account, to] }, ({ from }) => {
        return from < 4 ? {} : { from: moved(-4), to: moved(4) };
      });
    }));
    const balances = await Promise.all(ids.map((id) => account.fetch(db.sql, id)));
    assert.equal(balances.reduce((sum, { state }: Fetched<number>) => sum + state, 0), 30);
    assert.ok(balances.every(({ state }) => state >= 0));
    assert.ok(balances.some(({ version }) => version > 0));
  });

  test("takes the locks in one order: many in both orders never deadlock", async () => {
    const sql = db.connect({ max: 16 });
    const x = listed("x");
    const y = listed("y");
    const z = listed("z");
    await Promise.all(Array.from({ length: 200 }, (_, at) => {
      // No two have a stream in common, so that the locks are all that they wait for.
      const parts = { x: [x, `${at}`], y: [y, `${at}`], z: [z, `${at}`] } as const;
      const { x: one, y: two, z: three } = parts;
      const order = [
        { x: one, y: two, z: three },
        { z: three, y: two, x: one },
        { y: two, z: three, x: one },
      ][at % 3]!;
      // One of them is only checked.
      return decide(sql, order, () => at % 2 ? { x: said(at), z: said(at) } : { y: said(at) });
    }));
    assert.equal((await readCategory(db.sql, "y")).length, 100);
  });

  test("waits for who has the lock of an entity that is only checked", async () => {
    await write(db.sql, "log-checked", said("before"));
    let asked = 0;
    const { versions } = await whileLocked(
      db,
      "log-checked",
      1,
      (sql) =>
        decide(sql, { a: [account, "waiting"], b: [log, "checked"] }, ({ b }) => {
          asked++;
          return { a: moved(b.length) };
        }),
      (holder) => write(holder, "log-checked", said("meanwhile")),
    );
    assert.equal(asked, 2);
    assert.deepEqual(versions, { a: 0, b: 1 });
    assert.equal((await account.fetch(db.sql, "waiting")).state, 2);
  });

  test("with a cache and snapshots decides by the same states", async () => {
    const cache = new Map<string, object>();
    const definition = {
      init: () => 0,
      evolve: (count: number) => count + 1,
      snapshot: { every: 3 },
      cache,
    };
    const one = entity({ ...definition, category: "fast" });
    const two = entity({ ...definition, category: "quick" });
    for (let turn = 0; turn < 12; turn++) {
      const sql: Sql = db.sql;
      await decide(sql, { one: [one, "1"], two: [two, "1"] }, (states, versions) => {
        assert.deepEqual(states, { one: versions.one + 1, two: versions.two + 1 });
        assert.equal(versions.one, turn - 1);
        return { one: said(turn), two: turn % 2 ? said(turn) : null };
      });
    }
    assert.equal((await two.fetch(db.sql, "1")).state, 6);
  });
});

test("a decide waits for the lock of its category, and decides again behind it", async () => {
  const it = listed("locked");
  let release = () => {};
  const held = new Promise<void>((resolve) => release = resolve);
  const sql = db.connect({ max: 2 });
  const holding = db.sql.begin(async (holder) => {
    await lockCategory(holder, "locked-1");
    await write(holder, "locked-1", said("first"));
    await held;
  });
  const deciding = it.decide(sql, "1", (state) => {
    // It has read: what it writes is in the way of what is not committed yet.
    release();
    return said(state.length);
  });
  await holding;
  await deciding;
  const { state } = await it.fetch(db.sql, "1");
  assert.deepEqual(state, ["first", 1]);
});

test("a list of entities is decided over as a list", async () => {
  const counter = entity({ category: "listed", init: () => 0, evolve: (state) => state + 1 });
  const ids = ["1", "2", "3"];
  const list = ids.map((id) => [counter, id] as const);
  const decided = await decide(db.sql, list, (states, versions) => {
    assert.deepEqual([states, versions], [[0, 0, 0], [-1, -1, -1]]);
    return [{ type: "Counted" }, null, [{ type: "Counted" }, { type: "Counted" }]];
  });
  assert.deepEqual(decided.versions, [0, -1, 1]);
});

test("what is no decision is refused, and nothing is written", async () => {
  const counter = entity({ category: "odd", init: () => 0, evolve: (state) => state + 1 });
  for (const decision of [7, false, "", "text"]) {
    const odd = () => decision as never;
    await assert.rejects(counter.decide(db.sql, "1", odd), TypeError);
    await assert.rejects(decide(db.sql, { one: [counter, "1"] }, odd), TypeError);
  }
  await assert.rejects(decide(db.sql, {}, () => ({})), RangeError);
  const names = { constructor: [counter, "1"], other: [counter, "2"] } as const;
  await decide(db.sql, names, () => ({ other: { type: "Counted" } } as never));
  assert.equal(await streamVersion(db.sql, "odd-1"), NO_STREAM);
});

test("a transaction that cannot see what others write is refused to check a stream alone", async () => {
  const counter = entity({ category: "unseen", init: () => 0, evolve: (state) => state + 1 });
  const pair = { one: [counter, "1"], two: [counter, "2"] } as const;
  for (const level of ["repeatable read", "serializable"]) {
    const deciding = db.sql.begin(`isolation level ${level}`, (sql) => {
      return decide(sql, pair, () => ({ one: { type: "Counted" } }));
    });
    await assert.rejects(deciding, {
      message: 'Cannot check the version of stream "unseen-2" without a message for it: what the ' +
        "transaction sees may be older than the stream, unless its isolation level is READ COMMITTED",
    });
  }
  assert.equal(await streamVersion(db.sql, "unseen-1"), NO_STREAM);
});

test("decides again where SERIALIZABLE tells that somebody else was faster", async () => {
  const sql = db.connect({ connection: { default_transaction_isolation: "serializable" } });
  const counter = entity({ category: "serial", init: () => 0, evolve: (state) => state + 1 });
  const ids = Array.from({ length: 24 }, (_, at) => String(at % 6));
  await Promise.all(ids.map((id) => counter.decide(sql, id, () => ({ type: "Counted" }))));
  for (const id of ["0", "1", "2", "3", "4", "5"]) {
    assert.equal((await counter.fetch(sql, id)).version, 3);
  }
});
