import assert from "node:assert/strict";
import process from "node:process";
import { describe, test } from "vitest";
import { z } from "zod";
import {
  append,
  defineMessages,
  groupCommit,
  type MessageInput,
  NO_STREAM,
  readMessage,
  readStream,
  reply,
  synchronize,
  write,
  writeBatch,
  writeStreams,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const count = z.object({ n: z.number() });
const catalogue = defineMessages({
  Counted: count,
  CountedSlowly: count.refine(() => Promise.resolve(true)),
});

/** A message that a caller holds, and may change. */
interface Held {
  type: string;
  id?: string;
  data: { n: number };
  metadata: { replyStreamName?: string; m: { k: number } };
}

const makers: Readonly<Record<string, () => Held>> = {
  "without a catalogue": () => held({ type: "Plain", data: { n: 1 } }),
  "of a catalogue": () => held(catalogue.Counted({ n: 1 })),
  "of a catalogue that answers later": () => held(catalogue.CountedSlowly({ n: 1 })),
};

function held(message: MessageInput): Held {
  return Object.assign(message as Held, { id: crypto.randomUUID(), metadata: { m: { k: 1 } } });
}

/** Changes all that a message holds. */
function change(message: Held): void {
  message.data.n = 2;
  message.metadata.m.k = 2;
  Object.assign(message, { type: "Changed", data: null, metadata: null, id: crypto.randomUUID() });
}

/** Writes that take one message. */
const ofOne: Readonly<Record<string, (name: string, message: Held) => Promise<unknown>>> = {
  write: (name, message) => write(db.sql, name, message),
  append: (name, message) => append(db.sql, name, message),
  groupCommit: (name, message) => groupCommit(db.sql)(name, message),
  reply: (name, message) => {
    message.metadata.replyStreamName = name;
    return reply(db.sql, message);
  },
};

/** Writes that take several messages, of which the first may have to be waited for. */
const ofSeveral: Readonly<Record<string, (name: string, messages: Held[]) => Promise<unknown>>> = {
  writeBatch: (name, messages) => writeBatch(db.sql, name, messages),
  append: (name, messages) => append(db.sql, name, messages),
  synchronize: (name, messages) =>
    synchronize(db.sql, name, messages as (Held & { readonly id: string })[]),
  writeStreams: (name, [first, ...messages]) => {
    const streams = [{ streamName: `${name}-first`, messages: [first!] }, {
      streamName: name,
      messages,
      expectedVersion: NO_STREAM,
    }];
    const writing = writeStreams(db.sql, streams);
    Object.assign(streams[1]!, { streamName: "changed-1", messages: [], expectedVersion: 5 });
    streams.length = 1;
    messages.length = 0;
    return writing;
  },
};

const newStream = () => `changedLater-${crypto.randomUUID()}`;

/** What a read gives of a message that is written as it is. */
async function assertIsWritten({ id, type, data, metadata }: Held): Promise<void> {
  const stored = await readMessage(db.sql, id!);
  assert.ok(stored, `message "${type}" is written with its id`);
  assert.deepEqual({ type: stored.type, data: stored.data, m: stored.metadata!["m"] }, {
    type,
    data,
    m: metadata.m,
  });
}

describe.each(Object.entries(makers))(
  "a message %s is written as it was at the call",
  (_, make) => {
    test.each(Object.entries(ofOne))(
      "of %s(), whatever the caller changes later",
      async (_, way) => {
        const message = make();
        const asked = structuredClone({ ...message });
        const writing = way(newStream(), message);
        change(message);
        await writing;
        await assertIsWritten(asked);
      },
    );

    test.each(Object.entries(ofSeveral))(
      "of %s(), whatever the caller changes later",
      async (_, way) => {
        for (const first of Object.values(makers)) {
          const messages = [first(), make()];
          const asked = messages.map((message) => structuredClone({ ...message }));
          const writing = way(newStream(), [...messages]);
          messages.forEach(change);
          await writing;
          for (const message of asked) await assertIsWritten(message);
        }
      },
    );
  },
);

test.each<[string, (name: string, message: MessageInput) => Promise<number>]>([
  ["write", (name, message) => write(db.sql, name, message)],
  ["groupCommit", (name, message) => groupCommit(db.sql)(name, message)],
])("%s() looks up an id that the caller takes away after the call", async (_, way) => {
  const name = newStream();
  const id = crypto.randomUUID();
  const first: MessageInput = catalogue.Counted({ n: 1 }, { id });
  assert.equal(await way(name, first), 0);
  const again: { id?: string } & MessageInput = catalogue.Counted({ n: 1 }, { id });
  const writing = way(name, again);
  delete again.id;
  assert.equal(await writing, 0);
  assert.equal((await readStream(db.sql, name)).length, 1);
});

test("writeStreams() leaves no rejection behind where a stream after a failing one is refused", async () => {
  const codec = {
    encode: () => Promise.reject(new Error("there is no such key")),
    decode: (data: unknown) => data,
  };
  const messages = [defineMessages({ Counted: count }, { codec }).Counted({ n: 1 })];
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => void unhandled.push(reason);
  process.prependListener("unhandledRejection", note);
  try {
    await assert.rejects(
      writeStreams(db.sql, [{ streamName: newStream(), messages }, {
        streamName: newStream(),
        messages: [{ type: "" }],
      }]),
      /"" as "type"/,
    );
    await new Promise(setImmediate);
    await new Promise(setImmediate);
  } finally {
    process.off("unhandledRejection", note);
  }
  assert.deepEqual(unhandled, []);
});

test("a Date that is changed while a schema answers is written as it was", async () => {
  const date = z.codec(z.iso.datetime(), z.date(), {
    decode: (text) => new Date(text),
    encode: (time) => time.toISOString(),
  });
  const { Dated } = defineMessages({
    Dated: z.object({ at: date }).refine(() => Promise.resolve(true)),
  });
  const at = new Date(0);
  const writing = write(db.sql, "dated-1", Dated({ at }));
  at.setTime(1e12);
  await writing;
  const [message] = await readStream(db.sql, "dated-1");
  assert.deepEqual(message!.data, { at: "1970-01-01T00:00:00.000Z" });
});
