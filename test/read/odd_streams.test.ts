import { fetchSql } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import assert from "node:assert/strict";
import { beforeAll, describe, test } from "vitest";
import {
  correlate,
  drain,
  follow,
  importMessages,
  isCategory,
  iterateAll,
  type Message,
  readAll,
  readCategory,
  readLastMessage,
  readMessages,
  readStream,
  replayParked,
  type Sql,
  streamVersion,
  subscribe,
  synchronize,
  write,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const copy = useDatabase();
const copyOverHttp = useDatabase();

/** Names that `write_message` takes, and `write` refuses. */
const names = ["odd", "odd:position", "-1", "odd-", "$all", "$all-1"];
const url = "http://gateway.test/sql";
/** The handles that a store can be read by. */
const handles: Record<string, (sql: Sql) => Sql> = {
  "postgres.js": (sql) => sql,
  "fetchSql()": (sql) => {
    const answer = gateway(sql, { authorize: () => true });
    return fetchSql(url, { fetch: (input, init) => answer(new Request(input, init)) });
  },
};

beforeAll(async () => {
  for (const name of names) {
    for (const type of ["First", "Second"]) {
      await db.sql.begin(async (transaction) => {
        await transaction`set local search_path = message_store`;
        await transaction`
          select write_message(${crypto.randomUUID()}, ${name}, ${type}, '{"position": 2}', null, null)`;
      });
    }
  }
  await write(db.sql, "odd-2", { type: "Third" });
});

describe.each(Object.entries(handles))(
  "what write_message has written, over %s,",
  (_, handleOf) => {
    test.each(names)("is read of the stream %s", async (name) => {
      const sql = handleOf(db.sql);
      const stored = (await readAll(db.sql)).filter(({ streamName }) => streamName === name);
      assert.equal(stored.length, 2);
      assert.deepEqual(await readMessages(sql, stored.map(({ id }) => id)), stored);
      assert.deepEqual(await readLastMessage(sql, name), stored[1]);
      assert.deepEqual(await readLastMessage(sql, name, { type: "First" }), stored[0]);
      assert.equal(await streamVersion(sql, name), 1);
      if (isCategory(name)) {
        // As Message DB's get_stream_messages.
        await assert.rejects(readStream(sql, name), /as "streamName"/);
      } else assert.deepEqual(await readStream(sql, name), stored);
    });

    test("is all copied by importMessages(), once", async () => {
      const target = handleOf === handles["postgres.js"] ? copy : copyOverHttp;
      for (let again = 0; again < 2; again++) {
        await importMessages(handleOf(target.sql), iterateAll(handleOf(db.sql)));
        const [from, to] = [await readAll(db.sql), await readAll(target.sql)].map((all) =>
          all.map(({ globalPosition: _, ...message }) =>
            // Claims of positions are left out.
            message.type === "Recorded" ? { ...message, metadata: null } : message
          )
        );
        assert.deepEqual(to, from);
      }
    });

    test("is parked, and replayed", async () => {
      const category = "$all";
      const consumerId = `letters${handleOf === handles["postgres.js"]}`;
      const failing = { category, consumerId, onError: "park", types: ["First"] } as const;
      const no = () => {
        throw new Error("no");
      };
      const sql = handleOf(db.sql);
      await drain(sql, { ...failing, handle: no });
      const seen: string[] = [];
      const handle = ({ streamName }: Message) => void seen.push(streamName);
      assert.deepEqual(await replayParked(sql, { ...failing, handle }), {
        replayed: names.length,
        parked: 0,
        busy: false,
      });
      assert.deepEqual(seen, names);
    });

    test("is read by a group of one, and by none of a greater group", async () => {
      const sql = handleOf(db.sql);
      const odd = ["odd", "odd-", "odd-2"];
      const of = (messages: readonly Message[]) =>
        [...new Set(messages.map(({ streamName }) => streamName))].sort();
      for (const direction of ["forward", "backward"] as const) {
        const options = { direction, consumerGroup: { member: 0, size: 1 } };
        assert.deepEqual(of(await readCategory(sql, "odd", options)), odd);
      }
      for (const consumerGroup of [{ size: 1 }, { member: 0, size: 1 }]) {
        const handled: Message[] = [];
        await drain(sql, {
          category: "odd",
          consumerId: `g${crypto.randomUUID()}`,
          consumerGroup,
          handle: (message) => void handled.push(message),
        });
        assert.deepEqual(of(handled), odd);
      }
      const subscription = subscribe(sql, "odd", { consumerGroup: { member: 0, size: 1 } });
      assert.equal((await subscription.next()).value!.streamName, "odd");
      await subscription.return();
      const members = await Promise.all(
        [0, 1].map((member) => readCategory(sql, "odd", { consumerGroup: { member, size: 2 } })),
      );
      assert.deepEqual(of(members.flat()), ["odd-", "odd-2"]);
    });
  },
);

test("the JSON API reads such streams, and writes to none", async () => {
  const answer = gateway(db.sql, { authorize: () => true });
  const get = async (path: string, init?: RequestInit) =>
    await answer(new Request(`http://gateway.test${path}`, init));
  for (const name of names) {
    const path = `/streams/${encodeURIComponent(name)}`;
    assert.deepEqual(await (await get(path)).json(), { streamName: name, version: 1 });
    for (
      const [resource, status] of [
        ["", isCategory(name) ? 422 : 200],
        ["/last", 200],
      ] as const
    ) {
      assert.equal((await get(`${path}/messages${resource}`)).status, status);
    }
    const refused = await get(`${path}/messages`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"type":"Third"}',
    });
    assert.equal(refused.status, 422);
  }
});

test("write() and synchronize() make no such stream", async () => {
  const message = { id: crypto.randomUUID(), type: "Third" };
  for (const name of names) {
    await assert.rejects(write(db.sql, name, message), /as "streamName"/);
    await assert.rejects(synchronize(db.sql, name, [message]), /as "streamName"/);
  }
});

test("what follows such a message, or is correlated with a category, is found", async () => {
  const cause = await readLastMessage(db.sql, "odd");
  await write(db.sql, "caused-1", follow(cause!, { type: "Caused" }));
  const [caused] = await readStream(db.sql, "caused-1");
  assert.equal(caused!.metadata!.causationMessageStreamName, "odd");
  await write(db.sql, "caused-1", correlate({ type: "Correlated" }, "transfer"));
  const correlated = await readCategory(db.sql, "caused", { correlation: "transfer" });
  assert.deepEqual(correlated.map(({ type }) => type), ["Correlated"]);
});
