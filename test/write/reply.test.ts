import assert from "node:assert/strict";
import { describe, test } from "vitest";
import * as z from "zod";
import {
  defineMessages,
  drain,
  follow,
  InvalidMessageError,
  type Message,
  NO_STREAM,
  readStream,
  reply,
  write,
  WrongExpectedVersionError,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
let tellers = 0;
const newTeller = () => `teller-${++tellers}`;
const toldTo = async (streamName: string): Promise<Message[]> =>
  await readStream(db.sql, streamName);

describe("reply()", () => {
  test("writes to the stream that the message names, and leaves the name out", async () => {
    const replyStreamName = newTeller();
    const metadata = { replyStreamName, correlationStreamName: "transfer-7", by: "Ada" };
    const message = { type: "Refused", data: 5, id: crypto.randomUUID(), metadata };
    const before = structuredClone(message);
    assert.equal(await reply(db.sql, message), 0);
    assert.deepEqual(message, before);
    const [stored] = await toldTo(replyStreamName);
    assert.deepEqual([stored!.type, stored!.data, stored!.id], ["Refused", 5, message.id]);
    assert.deepEqual(stored!.metadata, { correlationStreamName: "transfer-7", by: "Ada" });
    assert.equal(await reply(db.sql, message), 0);
    assert.equal(await reply(db.sql, { type: "Refused", metadata: { replyStreamName } }), 1);
  });

  test("answers who asked, from a handler, in its transaction, and no reply is sent to it", async () => {
    const replyStreamName = newTeller();
    await write(db.sql, "asked:command-1", { type: "Ask", metadata: { replyStreamName } });
    await drain(db.sql, {
      category: "asked:command",
      consumerId: "it",
      transactional: true,
      handle: async (_, { sql, follow }) => {
        await reply(sql, follow({ type: "Answered" }));
      },
    });
    const [ask] = await readStream(db.sql, "asked:command-1");
    const [answered] = await toldTo(replyStreamName);
    assert.equal(answered!.metadata!.causationMessageGlobalPosition, ask!.globalPosition);
    await assert.rejects(reply(db.sql, follow(answered!, { type: "Thanked" })), {
      name: "TypeError",
      message: 'Cannot reply with message "Thanked": its metadata has no replyStreamName, ' +
        "which follow() hands on from the message that asked",
    });
  });

  test("refuses a message that names no stream, and writes nothing", async () => {
    for (const metadata of [undefined, null, {}, { replyStreamName: null }]) {
      const message = { type: "Refused", metadata } as never;
      await assert.rejects(reply(db.sql, message), /Cannot reply with message "Refused"/);
    }
    for (const replyStreamName of ["", "teller", 5]) {
      const message = { type: "Refused", metadata: { replyStreamName } } as never;
      await assert.rejects(reply(db.sql, message), /as "streamName"/);
    }
    await assert.rejects(reply(db.sql, null as never), /as "message"/);
  });

  test("takes an expected version and a catalogue, as write() does", async () => {
    const teller = defineMessages({ Refused: z.object({ cents: z.coerce.bigint() }) });
    const replyStreamName = newTeller();
    const metadata = { replyStreamName };
    const refused = teller.Refused({ cents: 5n }, { metadata });
    await reply(db.sql, refused, { expectedVersion: NO_STREAM });
    await assert.rejects(
      reply(db.sql, refused, { expectedVersion: NO_STREAM }),
      WrongExpectedVersionError,
    );
    const plain = { type: "Refused", data: { cents: "6" }, metadata } as const;
    await reply(db.sql, plain, { messages: teller });
    assert.deepEqual((await toldTo(replyStreamName)).map(({ data }) => data), [
      { cents: "5" },
      { cents: "6" },
    ]);
    const wrong = { ...plain, data: { cents: "x" } };
    await assert.rejects(reply(db.sql, wrong, { messages: teller }), InvalidMessageError);
  });
});
