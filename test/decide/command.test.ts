/** A command that comes twice, and what cannot be folded: neither is written. */
import assert from "node:assert/strict";
import { describe, test } from "vitest";
import * as z from "zod";
import {
  decide,
  defineMessages,
  entity,
  idFrom,
  type Message,
  NO_STREAM,
  readStream,
  streamVersion,
  write,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";
import { counting } from "./_folding.ts";

const db = useDatabase();

const wallet = entity({
  category: "wallet",
  init: () => 0,
  evolve: (balance, { data }: Message<{ amount: number }>) => balance + data.amount,
});
const moved = (amount: number) => ({ type: "Moved", data: { amount } });
const withdraw = (amount: number) => (balance: number) => {
  if (balance < amount) throw new Error("not enough");
  return moved(-amount);
};

describe("decide() with a commandId", () => {
  test("answers the first outcome again, whatever the state is now", async () => {
    await write(db.sql, "wallet-again", moved(10));
    const command = { commandId: "withdraw from again" };
    const first = await wallet.decide(db.sql, "again", withdraw(10), command);
    assert.deepEqual({ ...first, globalPosition: 0 }, { state: 0, version: 1, globalPosition: 0 });
    // Now there is not enough.
    assert.deepEqual(await wallet.decide(db.sql, "again", withdraw(10), command), first);
    await write(db.sql, "wallet-other", moved(1));
    await write(db.sql, "wallet-again", moved(100));
    const sql = counting(db.sql);
    const asked = () => assert.fail("the decision must not be asked again");
    assert.deepEqual(await wallet.decide(sql, "again", asked, command), first);
    assert.equal(sql.statements, 3, "the entity, the command, and the state of that time");
    assert.equal(await streamVersion(db.sql, "wallet-again"), 2);
  });

  test("costs a statement more than without one", async () => {
    const sql = counting(db.sql);
    await wallet.decide(sql, "cost", () => moved(1), { commandId: "cost" });
    assert.equal(sql.statements, 3);
  });

  test("decides anew what has thrown, or written nothing", async () => {
    const command = { commandId: "withdraw from poor" };
    await assert.rejects(wallet.decide(db.sql, "poor", withdraw(5), command), /not enough/);
    const nothing = await wallet.decide(db.sql, "poor", () => null, command);
    assert.deepEqual(nothing, { state: 0, version: NO_STREAM, globalPosition: null });
    await write(db.sql, "wallet-poor", moved(5));
    assert.equal((await wallet.decide(db.sql, "poor", withdraw(5), command)).state, 0);
    assert.equal((await wallet.decide(db.sql, "poor", withdraw(5), command)).state, 0);
    assert.equal(await streamVersion(db.sql, "wallet-poor"), 1);
  });

  test("is decided once by 20 at the same time, who would decide differently", async () => {
    const sql = db.connect({ max: 20 });
    for (let round = 0; round < 10; round++) {
      let asked = 0;
      const answers = await Promise.all(
        Array.from({ length: 20 }, () =>
          wallet.decide(sql, `race-${round}`, async () => {
            const number = ++asked;
            await new Promise((resolve) => setTimeout(resolve, number % 3));
            // One, two or three messages.
            return Array.from({ length: 1 + number % 3 }, () => moved(number));
          }, { commandId: `race ${round}` })),
      );
      const stored = await readStream<{ amount: number }>(db.sql, `wallet-race-${round}`);
      assert.equal(stored.length, 1 + stored[0]!.data.amount % 3);
      assert.deepEqual(
        answers,
        Array(20).fill({
          state: stored.reduce((sum, { data }) => sum + data.amount, 0),
          version: stored.length - 1,
          globalPosition: stored.at(-1)!.globalPosition,
        }),
      );
    }
  });

  test("is no failure, and no lack of an outcome, for those who see what another has decided", async () => {
    const sql = db.connect({ max: 20 });
    const decisions = [
      withdraw(10),
      (balance: number) => balance < 10 ? null : moved(-10),
    ];
    for (let round = 0; round < 40; round++) {
      const id = `late-${round}`;
      await write(db.sql, `wallet-${id}`, moved(10));
      const answers = await Promise.all(Array.from({ length: 20 }, async (_, at) => {
        // Some come when the first have written, and not answered yet.
        await new Promise((resolve) => setTimeout(resolve, at / 4));
        return await wallet.decide(sql, id, decisions[round % 2]!, { commandId: id });
      }));
      assert.deepEqual(answers, Array(20).fill(answers[0]));
      assert.deepEqual([answers[0]!.state, answers[0]!.version], [0, 1]);
    }
  });

  test("is decided once among others who write to the entity", async () => {
    const sql = db.connect({ max: 20 });
    const answers = await Promise.all(
      Array.from(
        { length: 40 },
        (_, at) =>
          wallet.decide(sql, "crowd", () => moved(at % 2 ? 1 : 100), {
            ...(at % 2 && { commandId: `crowd ${at % 5}` }),
          }),
      ),
    );
    const stored = await readStream(db.sql, "wallet-crowd");
    assert.equal(stored.length, 20 + 5);
    const commands = answers.filter((_, at) => at % 2).map(({ version }) => version);
    assert.equal(new Set(commands).size, 5);
  });

  test("finds the outcome of a call that crashed between its write and its answer", async () => {
    const command = { commandId: "crash" };
    let isWritten = false;
    const crashing = async (strings: TemplateStringsArray, ...parameters: (string | null)[]) => {
      const rows = await db.sql(strings, ...parameters);
      isWritten = await streamVersion(db.sql, "wallet-crash") === 0;
      if (isWritten) throw new Error("connection lost");
      return rows;
    };
    await assert.rejects(wallet.decide(crashing, "crash", () => moved(7), command), /lost/);
    assert.ok(isWritten);
    const answer = await wallet.decide(db.sql, "crash", () => moved(8), command);
    assert.deepEqual([answer.state, answer.version], [7, 0]);
  });

  test("holds over several entities, also those that it writes nothing to", async () => {
    await write(db.sql, "wallet-from", moved(10));
    await write(db.sql, "wallet-idle", moved(3));
    const pay = () =>
      decide(
        db.sql,
        {
          idle: [wallet, "idle"],
          from: [wallet, "from"],
          to: [wallet, "to"],
        },
        ({ from }) => ({ from: withdraw(10)(from), to: [moved(9), moved(1)] }),
        {
          commandId: "pay",
        },
      );
    const first = await pay();
    assert.deepEqual(first.states, { idle: 3, from: 0, to: 10 });
    assert.deepEqual(first.versions, { idle: 0, from: 1, to: 1 });
    await write(db.sql, "wallet-idle", moved(1));
    await write(db.sql, "wallet-to", moved(1));
    assert.deepEqual(await pay(), first);
    assert.equal(await streamVersion(db.sql, "wallet-to"), 2);
  });

  test("is refused over other entities than the first time, and writes nothing", async () => {
    await wallet.decide(db.sql, "mine", () => moved(1), { commandId: "shared" });
    const decision = () => moved(1);
    await assert.rejects(
      wallet.decide(db.sql, "yours", decision, { commandId: "shared" }),
      {
        name: "DuplicateMessageError",
        message: 'Cannot decide command "shared": it was decided before, over other entities',
      },
    );
    assert.equal(await streamVersion(db.sql, "wallet-yours"), NO_STREAM);
  });

  test("works in a transaction: rolled back, the command has not come yet", async () => {
    const command = { commandId: "in a transaction" };
    const deciding = db.sql.begin(async (sql) => {
      const first = await wallet.decide(sql, "begun", () => moved(1), command);
      assert.deepEqual(await wallet.decide(sql, "begun", () => moved(2), command), first);
      throw new Error("rolled back");
    });
    await assert.rejects(deciding, /rolled back/);
    assert.equal((await wallet.decide(db.sql, "begun", () => moved(3), command)).state, 3);
  });

  test("makes ids of its own: a message of the text's idFrom() is another", async () => {
    const commandId = "a text";
    await write(db.sql, "wallet-ids", { ...moved(1), id: await idFrom(commandId) });
    await wallet.decide(db.sql, "ids", () => [moved(1), moved(1)], { commandId });
    const [, one, two] = await readStream(db.sql, "wallet-ids");
    assert.match(one!.id, /-8...-[89ab]...-.{8}0000$/);
    assert.equal(two!.id, `${one!.id.slice(0, -4)}0001`);
  });

  test("refuses messages with ids of their own, an empty text, and more messages than ids", async () => {
    const withId = () => ({ ...moved(1), id: crypto.randomUUID() });
    const command = { commandId: "wrong" };
    await assert.rejects(wallet.decide(db.sql, "wrong", withId, command), {
      name: "TypeError",
      message: /as "id": it must be left out where there is a "commandId", which makes the ids/,
    });
    for (const commandId of ["", 7 as never, null as never]) {
      await assert.rejects(
        wallet.decide(db.sql, "wrong", () => moved(1), { commandId }),
        TypeError,
      );
    }
    const many = () => Array(65_537).fill(moved(1));
    await assert.rejects(wallet.decide(db.sql, "wrong", many, command), RangeError);
    assert.equal(await streamVersion(db.sql, "wallet-wrong"), NO_STREAM);
  });
});

test("a call that comes late answers the first outcome, also if its evolve has changed the state", async () => {
  const listed = entity({
    category: "listed",
    init: (): number[] => [],
    evolve(all, { data }: Message<number>) {
      all.push(data);
      return all;
    },
  });
  const add = (data: number) => ({ type: "Added", data });
  let other: unknown;
  // The command is looked up before the other call writes, and the entity is read after it.
  const command = { commandId: "late" };
  const slow = {
    ...listed,
    async fetch(...parameters: Parameters<typeof listed.fetch>) {
      other ??= await listed.decide(db.sql, "1", () => add(1), command);
      return await listed.fetch(...parameters);
    },
  };
  const pair = { one: [slow, "1"] } as const;
  const answer = await decide(db.sql, pair, () => ({ one: add(2) }), command);
  assert.deepEqual([answer.states.one, answer.versions.one], [[1], 0]);
  assert.deepEqual((await listed.fetch(db.sql, "1")).state, [1]);
});

describe("decide() answers the state", () => {
  test("that fetch() reads after it: with defaults, upcasts, ids and places", async () => {
    const messages = defineMessages({
      Noted: z.object({
        text: z.string(),
        at: z.coerce.date(),
        tags: z.array(z.string()).default([]),
      }),
    });
    const notes = entity({
      category: "notes",
      messages,
      init: (): unknown[] => [],
      evolve: (all, message) => [...all, message],
    });
    const at = new Date("2026-01-01T00:00:00Z");
    const note = messages.Noted({ text: "one", at }, {
      metadata: { userId: "ada", none: undefined },
    });
    const one = await notes.decide(db.sql, "1", () => note);
    assert.deepEqual(one.state, (await notes.fetch(db.sql, "1")).state);
    await write(db.sql, "other-1", { type: "Between" });
    const more = await notes.decide(db.sql, "1", () => [messages.Noted({ text: "two", at }), note]);
    assert.deepEqual(more.state, (await notes.fetch(db.sql, "1")).state);
    const keeps = [(it: Message) => it, Object.freeze, Object.seal, ({ time }: Message) => time];
    for (const keep of keeps) {
      const plain = entity({
        category: "plain",
        init: (): unknown[] => [],
        evolve: (all, message) => [...all, keep(message)],
      });
      const decided = await plain.decide(db.sql, "1", () => ({ type: "Noted", data: { at } }));
      assert.deepEqual(decided.state, (await plain.fetch(db.sql, "1")).state);
    }
  });

  test("also of an evolve that changes the state it is given", async () => {
    const changing = entity({
      category: "changing",
      init: (): number[] => [],
      evolve(all, { data }: Message<number>) {
        all.push(data);
        return all;
      },
    });
    for (let at = 0; at < 3; at++) {
      const { state } = await changing.decide(db.sql, "1", () => ({ type: "Added", data: at }));
      assert.deepEqual(state, Array.from({ length: at + 1 }, (_, at) => at));
    }
  });
});

describe("decide() writes nothing that cannot be folded", () => {
  const named = entity({
    category: "named",
    init: () => "",
    handlers: {
      Renamed: (_, { data }: Message<{ name: string }>) => {
        if (data.name === "") throw new RangeError("a name is not empty");
        return data.name;
      },
      Lost: () => undefined as never,
      Late: () => Promise.resolve("later") as never,
    },
    unknown: "refuse",
  });
  const renamed = (name: string) => ({ type: "Renamed", data: { name } });

  test("and names the message", async () => {
    const wrongs = [
      [
        renamed(""),
        /write message "Renamed" to stream "named-1": it cannot be folded: RangeError: a/,
      ],
      [{ type: "Lost" }, /write message "Lost" .* its evolve has returned nothing/],
      [{ type: "Late" }, /write message "Late" .* its evolve has returned a promise/],
      [{ type: "Unheard" }, /write message "Unheard" .* has no handler for the type "Unheard"/],
    ] as const;
    for (const [wrong, message] of wrongs) {
      const decision = () => [renamed("Ada"), wrong, renamed("Grace")];
      await assert.rejects(named.decide(db.sql, "1", decision), (error: Error) => {
        assert.match(error.message, message);
        assert.equal((error as { invalidMessage?: unknown }).invalidMessage, wrong);
        return true;
      });
    }
    assert.equal(await streamVersion(db.sql, "named-1"), NO_STREAM);
    const cause = await named.decide(db.sql, "1", () => renamed("")).catch(({ cause }) => cause);
    assert.ok(cause instanceof RangeError);
  });

  test("to any of several entities", async () => {
    const decision = () => ({ one: renamed("Ada"), two: renamed("") });
    await assert.rejects(
      decide(db.sql, { one: [named, "one"], two: [named, "two"] }, decision),
      /write message "Renamed" to stream "named-two": it cannot be folded/,
    );
    assert.equal(await streamVersion(db.sql, "named-one"), NO_STREAM);
  });
});
