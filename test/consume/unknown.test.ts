import assert from "node:assert/strict";
import { describe, test } from "vitest";
import * as z from "zod";
import {
  type Consumer,
  defineMessages,
  drain,
  InvalidMessageError,
  readStream,
  replayParked,
  write,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

let names = 0;
async function newCategory(...types: string[]): Promise<string> {
  const category = `unknown${++names}`;
  for (const type of types) await write(db.sql, `${category}-1`, { type, data: {} });
  return category;
}

describe.each([[{}], [{ transactional: true }], [{ messages: "catalogue" }]])(
  'unknown: "refuse" with %j',
  (options) => {
    const account = defineMessages({
      Opened: { schema: z.object({}), aliases: ["Begun"] },
      Closed: z.object({}),
    }, { unknown: "skip" });
    const consumerOf = (category: string, more: object) => {
      const messages = "messages" in options ? account : undefined;
      const consumer = { category, consumerId: "it", unknown: "refuse", ...options, messages };
      return { ...consumer, ...more } as unknown as Consumer<typeof db.sql>;
    };

    test("stops before a message whose type has no handler", async () => {
      const category = await newCategory("Opened", "Renamed", "Opened");
      const seen: string[] = [];
      const handlers = { Opened: ({ type }: { type: string }) => void seen.push(type) };
      const consumer = consumerOf(category, { handlers });
      await assert.rejects(drain(db.sql, consumer), (error: Error) => {
        assert.equal(error.name, "HandlerFailedError");
        assert.ok(error.cause instanceof InvalidMessageError);
        assert.match(
          error.cause.message,
          /"Renamed" .*: the consumer has no handler for this type/,
        );
        return true;
      });
      const skipping = { ...consumer, unknown: "skip" } as typeof consumer;
      assert.equal((await drain(db.sql, skipping)).caughtUp, true);
      assert.ok(seen.length >= 2);
    });

    test("leaves such a message to the policy, and a replay finds the handler that was added", async () => {
      const category = await newCategory("Opened", "Closed", "Renamed", "Opened");
      const handlers = { Opened: () => {} };
      const consumer = consumerOf(category, { handlers, onError: "park" });
      assert.equal((await drain(db.sql, consumer)).handled, 4);
      const parked = await readStream<{ message: { type: string }; error: { name: string } }>(
        db.sql,
        `${category}:parked-it`,
      );
      assert.deepEqual(
        parked.map(({ data: { message, error } }) => [message.type, error.name]),
        [["Closed", "InvalidMessageError"], ["Renamed", "InvalidMessageError"]],
      );
      const closed: string[] = [];
      const Closed = ({ type }: { type: string }) => void closed.push(type);
      const more = { ...consumer, handlers: { ...handlers, Closed } } as typeof consumer;
      const replayed = await replayParked(db.sql, more);
      assert.deepEqual(replayed, { replayed: 2, parked: 1, busy: false });
      assert.deepEqual(closed, ["Closed"]);
    });
  },
);

test("a type under its old name has the handler of its name now", async () => {
  const category = await newCategory("Begun");
  const messages = defineMessages({ Opened: { schema: z.object({}), aliases: ["Begun"] } });
  const handlers = { Opened: () => {} };
  const consumer = { category, consumerId: "it", messages, handlers, unknown: "refuse" } as const;
  assert.equal((await drain(db.sql, consumer)).handled, 1);
});

test("it is refused without handlers, and as another word", async () => {
  const names = { category: "account", consumerId: "it" };
  for (
    const [consumer, message] of [
      [{ ...names, handle() {}, unknown: "refuse" }, /"unknown": it must be left out/],
      [{ ...names, handlePage() {}, unknown: "skip" }, /"unknown": it must be left out/],
      [{ ...names, handlers: { A() {} }, unknown: "stop" }, /it must be "skip" or "refuse"/],
    ] as const
  ) {
    await assert.rejects(drain(db.sql, consumer as never), { name: "TypeError", message });
  }
});
