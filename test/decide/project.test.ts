import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "vitest";
import * as z from "zod";
import {
  defineMessages,
  fromQuery,
  type Message,
  NO_STREAM,
  project,
  projectCategory,
  type ProjectOptions,
  readCategory,
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

describe("project()", () => {
  test("folds every message in order, whatever the size of the pages", async () => {
    await writeBatch(db.sql, "pages-1", numbered(10));
    for (const batchSize of [1, 2, 3, 5, 9, 10, 11, 1000]) {
      assert.deepEqual(
        await project(db.sql, "pages-1", { ...listed, batchSize }),
        { state: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], version: 9 },
        `of ${batchSize}`,
      );
    }
  });

  test("folds a stream that is longer than a page of the default size", async () => {
    await writeBatch(db.sql, "long-1", numbered(2001));
    const { state, version } = await project(db.sql, "long-1", listed);
    assert.equal(version, 2000);
    assert.deepEqual(state, numbered(2001).map(({ data }) => data));
    // A whole number of pages.
    assert.equal((await project(db.sql, "long-1", { ...listed, until: 1999 })).state.length, 2000);
  });

  test("reads the next page while one is folded, and none behind the last that is wanted", async () => {
    await writeBatch(db.sql, "ahead-1", numbered(7));
    const countsOf = async (options: { readonly until?: number }) => {
      let statements = 0;
      const sql = fromQuery((text, parameters) => {
        statements++;
        return db.sql.unsafe(text, parameters);
      });
      const evolve = (counts: number[]) => [...counts, statements];
      const init = (): number[] => [];
      return (await project(sql, "ahead-1", { init, evolve, batchSize: 3, ...options })).state;
    };
    assert.deepEqual(await countsOf({}), [2, 2, 2, 3, 3, 3, 3]);
    assert.deepEqual(await countsOf({ until: 5 }), [2, 2, 2, 2, 2, 2]);
    assert.deepEqual(await countsOf({ until: 4 }), [2, 2, 2, 2, 2]);
    assert.deepEqual(await countsOf({ until: 2 }), [1, 1, 1]);
  });

  test("answers what init makes, and NO_STREAM, of a stream without messages", async () => {
    assert.deepEqual(await project(db.sql, "none-1", listed), { state: [], version: NO_STREAM });
    assert.equal(NO_STREAM, -1);
  });

  test("includes from and until", async () => {
    await writeBatch(db.sql, "range-1", numbered(6));
    for (const batchSize of [1, 2, 3, 4, 1000]) {
      const of = async (from?: number, until?: number) => {
        const { state, version } = await project(db.sql, "range-1", {
          ...listed,
          from,
          until,
          batchSize,
        });
        return [state, version];
      };
      assert.deepEqual(await of(2, 4), [[2, 3, 4], 4]);
      assert.deepEqual(await of(0, 0), [[0], 0]);
      assert.deepEqual(await of(3), [[3, 4, 5], 5]);
      assert.deepEqual(await of(undefined, 2), [[0, 1, 2], 2]);
      assert.deepEqual(await of(5, 100), [[5], 5]);
      assert.deepEqual(await of(3, Infinity), [[3, 4, 5], 5]);
    }
  });

  test("is one position before from where no message is in the range", async () => {
    await writeBatch(db.sql, "empty-range-1", numbered(3));
    const of = async (from: number, until?: number) => {
      const { state, version } = await project(db.sql, "empty-range-1", { ...listed, from, until });
      return [state, version];
    };
    assert.deepEqual(await of(3), [[], 2]);
    assert.deepEqual(await of(2, 1), [[], 1]);
    assert.deepEqual(await of(0), [[0, 1, 2], 2]);
  });

  test("goes on where it was at version + 1", async () => {
    await writeBatch(db.sql, "on-1", numbered(5));
    const first = await project(db.sql, "on-1", { ...listed, until: 2 });
    const second = await project(db.sql, "on-1", {
      ...listed,
      init: () => first.state,
      from: first.version + 1,
    });
    assert.deepEqual(second, await project(db.sql, "on-1", listed));
    const third = await project(db.sql, "on-1", {
      ...listed,
      init: () => second.state,
      from: second.version + 1,
    });
    assert.deepEqual(third, second);
  });

  test("has a version to write at, of messages too that change nothing", async () => {
    await writeBatch(db.sql, "version-1", [{ type: "Counted" }, { type: "Other" }]);
    const { state, version } = await project(db.sql, "version-1", {
      init: () => 0,
      handlers: { Counted: (count: number) => count + 1 },
    });
    assert.deepEqual([state, version], [1, 1]);
    await write(db.sql, "version-1", { type: "Counted" }, { expectedVersion: version });
  });

  test("asks init once, and each time", async () => {
    let asked = 0;
    const options = { ...listed, init: (): unknown[] => (asked++, []), batchSize: 1 };
    await project(db.sql, "on-1", options);
    await project(db.sql, "on-1", options);
    assert.equal(asked, 2);
  });

  test("folds a stream that others write to without missing or repeating a message", async () => {
    const sql = db.connect({ max: 4 });
    const writing = Promise.all(
      Array.from({ length: 100 }, (_, at) => write(sql, "busy-1", { type: "Written", data: at })),
    );
    const folded = await Promise.all(
      Array.from({ length: 10 }, () => project(db.sql, "busy-1", { ...listed, batchSize: 2 })),
    );
    await writing;
    const stored = (await readStream(db.sql, "busy-1")).map(({ data }) => data);
    for (const { state, version } of folded) {
      assert.deepEqual(state, stored.slice(0, version + 1));
    }
  });

  test("folds inside a transaction what that has written", async () => {
    await db.sql.begin(async (sql) => {
      await write(sql, "own-1", { type: "Written", data: "own" });
      assert.deepEqual(await project(sql, "own-1", listed), { state: ["own"], version: 0 });
      assert.deepEqual(await project(db.sql, "own-1", listed), { state: [], version: NO_STREAM });
    });
  });
});

describe("project() by handlers", () => {
  const messages = [
    { type: "Deposited", data: { amount: 11 } },
    { type: "Renamed", data: { name: "Ada" } },
    { type: "Deposited", data: { amount: 3 } },
  ];
  const Deposited = (sum: number, { data }: Message<{ amount: number }>) => sum + data.amount;

  test("calls the one of the message's type, and passes over the other types", async () => {
    await writeBatch(db.sql, "types-1", messages);
    for (const unknown of [undefined, "skip"] as const) {
      const options = { init: () => 0, handlers: { Deposited }, unknown };
      assert.deepEqual(await project(db.sql, "types-1", options), { state: 14, version: 2 });
    }
    const none = { init: () => 0, handlers: {} };
    assert.deepEqual(await project(db.sql, "types-1", none), { state: 0, version: 2 });
  });

  test("refuses a type that has no handler, where it is told to", async () => {
    await assert.rejects(
      project(db.sql, "types-1", { init: () => 0, handlers: { Deposited }, unknown: "refuse" }),
      {
        name: "InvalidMessageError",
        message: /the projection has no handler for the type "Renamed"/,
      },
    );
    const upTo = { init: () => 0, handlers: { Deposited }, unknown: "refuse", until: 0 } as const;
    assert.deepEqual(await project(db.sql, "types-1", upTo), { state: 11, version: 0 });
  });

  test("takes no property that every object has for a handler", async () => {
    const names = ["constructor", "toString", "__proto__", "hasOwnProperty", "valueOf"];
    await writeBatch(db.sql, "names-1", names.map((type) => ({ type })));
    const handlers = { Deposited };
    assert.equal((await project(db.sql, "names-1", { init: () => 0, handlers })).state, 0);
    const own = { toString: (sum: number) => sum + 1, constructor: (sum: number) => sum + 10 };
    assert.equal((await project(db.sql, "names-1", { init: () => 0, handlers: own })).state, 11);
  });
});

describe("project() with a catalogue", () => {
  const account = defineMessages({
    Deposited: {
      schema: z.object({ amount: z.number(), at: z.codec(z.iso.datetime(), z.date(), dates()) }),
      aliases: ["PaidIn"],
      upcasts: [(data: { sum: number; at: string }) => ({ amount: data.sum, at: data.at })],
    },
    Closed: z.object({ reason: z.string() }),
  });

  function dates() {
    return {
      decode: (text: string) => new Date(text),
      encode: (date: Date) => date.toISOString(),
    };
  }
  const at = new Date("2026-01-02T03:04:05.678Z");

  test("gives messages as they are parsed, lifted and named by the catalogue", async () => {
    await write(db.sql, "typed-1", account.Deposited({ amount: 11, at }));
    const older = { sum: 5, at: at.toISOString() };
    const metadata = { schemaVersion: "1" };
    await write(db.sql, "typed-1", { type: "PaidIn", data: older, metadata });
    await write(db.sql, "typed-1", account.Closed({ reason: "moved" }));
    const seen: unknown[] = [];
    const { state } = await project(db.sql, "typed-1", {
      messages: account,
      init: () => 0,
      handlers: {
        Deposited: (sum, { type, data }) => {
          seen.push([type, data.at]);
          return sum + data.amount;
        },
        Closed: (sum) => -sum,
      },
      unknown: "refuse",
    });
    assert.equal(state, -16);
    assert.deepEqual(seen, [["Deposited", at], ["Deposited", at]]);

    const evolved = await project(db.sql, "typed-1", {
      messages: account,
      init: () => [] as string[],
      evolve: (types, { type }) => [...types, type],
    });
    assert.deepEqual(evolved, { state: ["Deposited", "Deposited", "Closed"], version: 2 });
  });

  test("passes over types without a handler unparsed, be they in the catalogue or not", async () => {
    await write(db.sql, "unparsed-1", { type: "Closed", data: "no object" });
    await write(db.sql, "unparsed-1", { type: "Unheard", data: 1 });
    const handlers = { Deposited: (sum: number) => sum + 1 };
    const options = { messages: account, init: () => 0, handlers };
    assert.deepEqual(await project(db.sql, "unparsed-1", options), { state: 0, version: 1 });
    await assert.rejects(project(db.sql, "unparsed-1", { ...options, unknown: "refuse" }), {
      name: "InvalidMessageError",
    });
  });

  test("refuses data that does not fit, and with evolve types that it does not define", async () => {
    const evolving = { messages: account, init: () => 0, evolve: (sum: number) => sum + 1 };
    await assert.rejects(project(db.sql, "unparsed-1", evolving), { name: "InvalidMessageError" });
    await assert.rejects(project(db.sql, "unparsed-1", { ...evolving, from: 1 }), {
      name: "InvalidMessageError",
      message: /"Unheard" is not defined/,
    });
  });

  test("leaves the state as it is at types that the catalogue skips, and counts them", async () => {
    await writeBatch(db.sql, "skipped-1", [{ type: "One" }, { type: "Other" }]);
    const messages = defineMessages({ One: z.null() }, { unknown: "skip" });
    const evolve = (count: number) => count + 1;
    assert.deepEqual(await project(db.sql, "skipped-1", { messages, init: () => 0, evolve }), {
      state: 1,
      version: 1,
    });
  });

  test("gives evolve the types that it passes by their stored name", async () => {
    const messages = defineMessages({ One: z.null() }, { unknown: "pass" });
    const { state } = await project(db.sql, "skipped-1", {
      messages,
      init: () => [] as string[],
      evolve: (names, message) => [
        ...names,
        message.type === "$unknown" ? message.storedType : message.type,
      ],
    });
    assert.deepEqual(state, ["One", "Other"]);
  });

  test("waits for schemas and codecs that take their time, in order", async () => {
    const slow = defineMessages({
      Counted: z.object({ n: z.number() }).refine(() => Promise.resolve(true)),
    }, {
      codec: {
        encode: (data) => Promise.resolve({ sealed: JSON.stringify(data) }),
        decode: async (data) => {
          // Later messages are there first.
          const { n } = JSON.parse((data as { sealed: string }).sealed);
          for (let turn = n; turn < 9; turn++) await Promise.resolve();
          return { n };
        },
      },
    });
    await writeBatch(db.sql, "slow-1", Array.from({ length: 9 }, (_, n) => slow.Counted({ n })));
    const { state } = await project(db.sql, "slow-1", {
      messages: slow,
      init: () => [] as number[],
      handlers: { Counted: (seen, { data }) => [...seen, data.n] },
      batchSize: 4,
    });
    assert.deepEqual(state, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });
});

describe("project() refuses", () => {
  const evolve = (state: number) => state + 1;
  const init = () => 0;
  const attempt = (options: unknown) =>
    project(db.sql, "refused-1", options as ProjectOptions<number>);

  test("what is no projection", async () => {
    for (
      const options of [
        undefined,
        null,
        "init",
        [],
        {},
        { evolve },
        { init },
        { init: 0, evolve },
        { init, evolve: 1 },
        { init, evolve: null },
        { init, evolve, handlers: { One: evolve } },
        { init, handlers: { One: evolve, Two: 1 } },
        { init, handlers: { One: undefined } },
        { init, handlers: null },
        { init, handlers: 5 },
        { init, handlers: evolve },
        { init, handlers: [evolve] },
        { init, handlers: { One: evolve }, unknown: "ignore" },
        { init, evolve, unknown: "refuse" },
        { init, evolve, messages: {} },
        { init, evolve, messages: null },
        { init, evolve, from: "0" },
        { init, evolve, until: "0" },
        { init, evolve, until: null },
        { init, evolve, batchSize: "1" },
      ]
    ) {
      await assert.rejects(attempt(options), TypeError, JSON.stringify(options));
    }
  });

  test("numbers that are out of range", async () => {
    for (
      const wrong of [
        { from: -1 },
        { from: 0.5 },
        { from: NaN },
        { until: -1 },
        { until: 1.5 },
        { until: -Infinity },
        { batchSize: 0 },
        { batchSize: Infinity },
      ]
    ) await assert.rejects(attempt({ init, evolve, ...wrong }), RangeError, String(wrong));
  });

  test("a name that is no stream's", async () => {
    const options = { init, evolve };
    await assert.rejects(project(db.sql, "refused", options), TypeError);
    await assert.rejects(project(db.sql, "", options), TypeError);
  });

  test("an evolve that returns nothing, or a promise", async () => {
    await write(db.sql, "refused-1", { type: "One" });
    const nothing = { init: () => ({ count: 0 }), evolve: () => undefined as never };
    await assert.rejects(project(db.sql, "refused-1", nothing), {
      name: "TypeError",
      message:
        'Cannot go on after message "One": its evolve has returned nothing, and must return the state',
    });
    const late = { init: () => 0, handlers: { One: () => Promise.resolve(1) as never } };
    await assert.rejects(project(db.sql, "refused-1", late), {
      name: "TypeError",
      message:
        'Cannot go on after message "One": its evolve has returned a promise, and must return the state',
    });
    const typed = { ...late, messages: defineMessages({ One: z.null() }) };
    await assert.rejects(project(db.sql, "refused-1", typed), TypeError);
  });

  test("a promise that rejects, without leaving it to nobody", async () => {
    const unhandled: unknown[] = [];
    const note = (error: unknown) => unhandled.push(error);
    process.on("unhandledRejection", note);
    try {
      const late = { init: () => 0, evolve: () => Promise.reject(new Error("late")) as never };
      await assert.rejects(project(db.sql, "refused-1", late), TypeError);
      // Node tells of it after the microtasks of a turn.
      await new Promise((resolve) => setImmediate(resolve));
    } finally {
      process.off("unhandledRejection", note);
    }
    assert.deepEqual(unhandled, []);
  });

  test("no state that is null, false, 0 or empty", async () => {
    for (const state of [null, false, 0, "", NaN]) {
      const options = { init: () => state as unknown, evolve: () => state };
      assert.deepEqual(await project(db.sql, "refused-1", options), { state, version: 0 });
    }
  });

  test("to hide what an evolve throws", async () => {
    const error = new Error("There is no such account");
    const throwing = {
      init: () => 0,
      evolve: (): number => {
        throw error;
      },
    };
    await assert.rejects(project(db.sql, "refused-1", throwing), (it) => it === error);
  });
});

describe("projectCategory()", () => {
  const places = {
    init: (): string[] => [],
    evolve: (seen: string[], { streamName, position }: Message) => [
      ...seen,
      `${streamName}/${position}`,
    ],
  };

  test("folds all streams of a category in the order of their global positions", async () => {
    for (const streamName of ["model-1", "model-2", "other-1", "model-1", "model-2+3"]) {
      await write(db.sql, streamName, { type: "Written" });
    }
    const last = (await readCategory(db.sql, "model")).at(-1)!.globalPosition;
    for (const batchSize of [1, 2, 3, 1000]) {
      assert.deepEqual(await projectCategory(db.sql, "model", { ...places, batchSize }), {
        state: ["model-1/0", "model-2/0", "model-1/1", "model-2+3/0"],
        position: last,
      });
    }
  });

  test("includes from and until, which are global positions", async () => {
    const [first, second, third] = (await readCategory(db.sql, "model"))
      .map(({ globalPosition }) => globalPosition) as [number, number, number];
    for (const batchSize of [1, 2, 1000]) {
      const of = async (from?: number, until?: number) => {
        const options = { ...places, from, until, batchSize };
        const { state, position } = await projectCategory(db.sql, "model", options);
        return [state.length, position];
      };
      assert.deepEqual(await of(second, third), [2, third]);
      assert.deepEqual(await of(first, first), [1, first]);
      // Between the second and the third there is another category's.
      assert.deepEqual(await of(second, third - 1), [1, second]);
      assert.deepEqual(await of(0, second), [2, second]);
      assert.deepEqual(await of(1_000_000), [0, 999_999]);
    }
  });

  test("goes on where it was at position + 1", async () => {
    const first = await projectCategory(db.sql, "model", { ...places, until: 5, batchSize: 1 });
    await write(db.sql, "model-1", { type: "Written" });
    const second = await projectCategory(db.sql, "model", {
      ...places,
      init: () => first.state,
      from: first.position + 1,
    });
    assert.deepEqual(second, await projectCategory(db.sql, "model", places));
    const none = await projectCategory(db.sql, "model", { ...places, from: second.position + 1 });
    assert.deepEqual(none, { state: [], position: second.position });
  });

  test("is at position 0 where the category has no message", async () => {
    const empty = { state: [], position: 0 };
    assert.deepEqual(await projectCategory(db.sql, "none", places), empty);
    assert.deepEqual(await projectCategory(db.sql, "none", { ...places, from: 0 }), empty);
    assert.deepEqual(await projectCategory(db.sql, "none", { ...places, from: 1 }), empty);
  });

  test("takes only messages of a correlation, on every page", async () => {
    for (let at = 0; at < 5; at++) {
      const correlationStreamName = at % 2 ? "cause-1" : "reason-1";
      const metadata = { correlationStreamName };
      await write(db.sql, `effect-${at}`, { type: "Written", metadata });
    }
    const options = { ...places, correlation: "reason", batchSize: 1 };
    const { state } = await projectCategory(db.sql, "effect", options);
    assert.deepEqual(state, ["effect-0/0", "effect-2/0", "effect-4/0"]);
  });

  test("shares a category among a group's members: each stream is one member's", async () => {
    for (let at = 0; at < 20; at++) {
      await writeBatch(db.sql, `shared-${at}`, numbered(2));
    }
    const shares = await Promise.all([0, 1, 2].map(async (member) => {
      const options = { ...places, consumerGroup: { member, size: 3 }, batchSize: 3 };
      return (await projectCategory(db.sql, "shared", options)).state;
    }));
    const all = (await projectCategory(db.sql, "shared", places)).state;
    assert.deepEqual(shares.flat().sort(), [...all].sort());
    for (const share of shares) assert.ok(share.length > 0 && share.length < all.length);
  });

  test("refuses what project() refuses, and what readCategory() refuses", async () => {
    await assert.rejects(projectCategory(db.sql, "model-1", places), TypeError);
    await assert.rejects(projectCategory(db.sql, "model", undefined as never), TypeError);
    await assert.rejects(projectCategory(db.sql, "model", { ...places, from: -1 }), RangeError);
    await assert.rejects(
      projectCategory(db.sql, "model", { ...places, consumerGroup: { member: 2, size: 2 } }),
      RangeError,
    );
  });

  test("is typed by the catalogue", async () => {
    const catalogue = defineMessages({ Deposited: z.object({ amount: z.number() }) });
    await write(db.sql, "sum-1", catalogue.Deposited({ amount: 3 }));
    await write(db.sql, "sum-2", catalogue.Deposited({ amount: 4 }));
    const { state } = await projectCategory(db.sql, "sum", {
      messages: catalogue,
      init: () => 0,
      handlers: { Deposited: (sum, { data }) => sum + data.amount },
    });
    assert.equal(state, 7);
  });
});

test("a fold in pages of any size equals a fold in one, in any range", async () => {
  let run = 0;
  const types = fc.array(fc.constantFrom("One", "Two", "Other"), { maxLength: 30 });
  const range = fc.record({
    from: fc.option(fc.nat(32), { nil: undefined }),
    until: fc.option(fc.nat(32), { nil: undefined }),
  });
  const size = fc.integer({ min: 1, max: 35 });
  await fc.assert(
    fc.asyncProperty(types, range, size, fc.boolean(), async (types, range, batchSize, byType) => {
      const streamName = `fold${++run}-1`;
      const messages = types.map((type, at) => ({ type, data: at }));
      if (types.length > 0) await writeBatch(db.sql, streamName, messages);
      const step = (seen: string, { type, data }: Message) => `${seen},${type}${data}`;
      const how = byType ? { handlers: { One: step, Two: step } } : { evolve: step };
      const options = { init: () => "", ...how };

      const { from = 0, until = Infinity } = range;
      const wanted = messages
        .filter(({ data }) => data >= from && data <= until)
        .filter(({ type }) => !byType || type !== "Other");
      const last = Math.min(types.length - 1, until);
      const expected = {
        state: wanted.map(({ type, data }) => `,${type}${data}`).join(""),
        version: last >= from ? last : from - 1,
      };
      assert.deepEqual(await project(db.sql, streamName, { ...options, ...range }), expected);
      const paged = { ...options, ...range, batchSize };
      assert.deepEqual(await project(db.sql, streamName, paged), expected);

      const category = { ...options, batchSize };
      const whole = await projectCategory(db.sql, `fold${run}`, options);
      assert.deepEqual(await projectCategory(db.sql, `fold${run}`, category), whole);
      assert.equal(whole.state, (await project(db.sql, streamName, options)).state);
    }),
    { numRuns: 150 },
  );
});
