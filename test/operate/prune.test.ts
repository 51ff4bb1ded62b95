import assert from "node:assert/strict";
import { describe, test } from "vitest";
import {
  aggregate,
  consume,
  drain,
  entity,
  fromQuery,
  type Message,
  type MessageInput,
  readAggregate,
  readAll,
  readStream,
  replayParked,
  type Sql,
  streamVersion,
  subscribe,
  write,
  writeBatch,
} from "../../mod.ts";
import { parked, prune, type Pruned, rewind } from "../../src/operate/mod.ts";
import { isOwnMessage } from "../../src/names/_own_streams.ts";
import { until } from "../_until.ts";
import { gate, start, stored, writeCounted } from "../consume/_consuming.ts";
import { useDatabase } from "../database.ts";

const NOTHING: Pruned = {
  positions: 0,
  aggregates: 0,
  snapshots: 0,
  claims: 0,
  settled: 0,
  waiting: 0,
};

async function everything(sql: Sql): Promise<Message[]> {
  return await readAll(sql, { batchSize: 1_000_000 });
}

describe("prune()", () => {
  const db = useDatabase();

  test("keeps the first and the last position, and the version of the stream", async () => {
    const name = "account:position-it";
    const last = { owner: "somebody", leaseDuration: 60_000, answers: true };
    for (let position = 1; position <= 10; position++) {
      const metadata = position === 10 ? last : null;
      await write(db.sql, name, { type: "Recorded", data: { position }, metadata });
      await write(db.sql, `${name}+1+2`, { type: "Recorded", data: { position: position * 2 } });
      await write(db.sql, "ledger:aggregate-ledger", { type: "Recorded", data: { position } });
      await write(db.sql, "$all:settled-all", { type: "Settled", data: { position } });
    }
    const expected = { ...NOTHING, positions: 16, aggregates: 9, settled: 9 };
    assert.deepEqual(await prune(db.sql, { olderThan: 0, dryRun: true }), expected);
    assert.equal((await everything(db.sql)).length, 40);
    assert.deepEqual(await prune(db.sql, { olderThan: 0 }), expected);
    const recorded = async (name: string) =>
      (await readStream(db.sql, name)).map(({ data, metadata }) => [data, metadata]);
    assert.deepEqual(await recorded(name), [[{ position: 1 }, null], [{ position: 10 }, last]]);
    assert.deepEqual(await recorded(`${name}+1+2`), [
      [{ position: 2 }, null],
      [{ position: 20 }, null],
    ]);
    assert.deepEqual(await recorded("ledger:aggregate-ledger"), [[{ position: 10 }, null]]);
    assert.equal(await streamVersion(db.sql, name), 9);
    assert.deepEqual(await prune(db.sql, { olderThan: 0 }), NOTHING);
    const next = { type: "Recorded", data: { position: 11 } };
    assert.equal(await write(db.sql, name, next, { expectedVersion: 9 }), 10);
    await prune(db.sql, { olderThan: 0 });
  });

  test("keeps what tells since when a position and its owner are what they are", async () => {
    const records: [number, string?][] = [
      [1, "a"],
      [2, "a"],
      [2, "b"],
      [2, "c"],
      [2, "c"],
      [2],
      [2, "b"],
      [2, "b"],
      [2, "b"],
    ];
    for (const [position, owner] of records) {
      const metadata = owner === undefined ? null : { owner, leaseDuration: 1000 };
      for (const name of ["since:position-it", "since:aggregate-since"]) {
        await write(db.sql, name, { type: "Recorded", data: { position }, metadata });
      }
    }
    const left = async (name: string) =>
      (await readStream(db.sql, name)).map(({ position }) => position);
    await prune(db.sql, { olderThan: 0 });
    // The first, the first with 2, the two times that b has come, and the last.
    assert.deepEqual(await left("since:position-it"), [0, 1, 2, 6, 8]);
    assert.deepEqual(await left("since:aggregate-since"), [1, 2, 6, 8]);
    await write(db.sql, "since:position-it", { type: "Recorded", data: { position: 3 } });
    await prune(db.sql, { olderThan: 0 });
    assert.deepEqual(await left("since:position-it"), [0, 9]);
  });

  test("keeps the last snapshot of each version, and Eventide's", async () => {
    const count = (version: number) =>
      entity({
        category: "counter",
        init: () => 0,
        evolve: (count: number) => count + 1,
        snapshot: { every: 1, version },
      });
    for (let times = 0; times < 5; times++) {
      await write(db.sql, "counter-1", { type: "Counted" });
      await count(1).fetch(db.sql, "1");
      await count(2).fetch(db.sql, "1");
      const data = { entityData: { times }, entityVersion: times, time: "2026" };
      await write(db.sql, "counter:snapshot-1", { type: "Recorded", data });
    }
    assert.equal((await readStream(db.sql, "counter:snapshot-1")).length, 15);
    assert.deepEqual(await prune(db.sql, { olderThan: 0 }), { ...NOTHING, snapshots: 12 });
    const left = await readStream<{ entityVersion: number }>(db.sql, "counter:snapshot-1");
    assert.deepEqual(left.map(({ type, data }) => [type, data.entityVersion]), [
      ["Recorded:1", 4],
      ["Recorded:2", 4],
      ["Recorded", 4],
    ]);
    await db
      .sql`delete from message_store.messages where stream_name = 'counter-1' and position < 4`;
    assert.equal((await count(1).fetch(db.sql, "1")).state, 5);
  });

  test("keeps the last question, and who waits within the lease", async () => {
    for (let version = 0; version < 3; version++) {
      const claimed = { type: "Claimed", data: { version, owner: "me" } };
      await write(db.sql, "held:claim-it+0+2", claimed);
      await write(db.sql, "held:group-it", { type: "Sized", data: { size: 2 } });
      for (const leaseDuration of [0, 3_600_000]) {
        const waiting = { type: "Waiting", data: { owner: `me${version}`, leaseDuration } };
        await write(db.sql, "held:group-it+waiting", waiting);
      }
    }
    assert.deepEqual(await prune(db.sql, { olderThan: 0 }), { ...NOTHING, claims: 2, waiting: 3 });
    const left = await readStream<{ leaseDuration: number }>(db.sql, "held:group-it+waiting");
    assert.ok(left.every(({ data }) => data.leaseDuration === 3_600_000));
    assert.equal((await readStream(db.sql, "held:claim-it+0+2"))[0]!.position, 2);
    assert.equal((await readStream(db.sql, "held:group-it")).length, 3);
  });

  test("keeps what is parked, and what became of it", async () => {
    await writeCounted(db.sql, "parking", 3);
    const consumer = { category: "parking", consumerId: "it" };
    await drain(db.sql, { ...consumer, handle: () => "park" as const });
    await replayParked(db.sql, { ...consumer, handle: () => {} }, { limit: 2 });
    await write(db.sql, "parking:parked-it", {
      type: "Discarded",
      data: { position: 2, reason: "" },
    });
    const before = await readStream(db.sql, "parking:parked-it");
    await prune(db.sql, { olderThan: 0 });
    assert.deepEqual(await readStream(db.sql, "parking:parked-it"), before);
    assert.deepEqual(await parked(db.sql, consumer), []);
  });

  test("has a bound in time: a Date, or an age by the server's clock", async () => {
    const name = "aged:position-it";
    const now = Date.now();
    for (const [position, age] of [9e6, 5e6, 4e6, 3e6, 0].entries()) {
      await db.sql`
        insert into message_store.messages (stream_name, position, type, data, time)
        values (${name}, ${position}, 'Recorded', '{"position": 1}',
          ${new Date(now - age).toISOString()}::text::timestamp)`;
    }
    const positions = async (olderThan?: Date | number) =>
      (await prune(db.sql, { olderThan, dryRun: true })).positions;
    assert.equal(await positions(6e6), 0);
    assert.equal(await positions(4.5e6), 1);
    assert.equal(await positions(), 2);
    assert.equal(await positions(new Date(now - 4.5e6)), 1);
    assert.equal(await positions(new Date(now - 5e6)), 0);
    assert.equal(await positions(new Date(now + 1e6)), 3);
    assert.equal(await positions(0), 3);
    assert.equal((await prune(db.sql)).positions, 2);
    assert.equal((await readStream(db.sql, name)).length, 3);
  });

  test("looks at any number of messages, and tells how far it is", async () => {
    const many = Array.from({ length: 5001 }, (_, position) => ({
      type: "Recorded",
      data: { position },
    }));
    await writeBatch(db.sql, "many:position-it", many);
    for (const dryRun of [true, false]) {
      const told: number[] = [];
      const onProgress = ({ positions }: Pruned) => void told.push(positions);
      const { positions } = await prune(db.sql, { olderThan: 0, dryRun, onProgress });
      // One is left of the test before.
      assert.equal(positions, 4999 + 1);
      assert.ok(new Set(told).size > 3);
      assert.equal(told.at(-1), positions);
    }
    await writeBatch(db.sql, "many:position-it", many);
    const stop = () => {
      throw new Error("stop");
    };
    await assert.rejects(prune(db.sql, { olderThan: 0, onProgress: stop }), /^Error: stop$/);
    await prune(db.sql, { olderThan: 0 });
  });
});

describe("prune() leaves alone", () => {
  const db = useDatabase();
  /** Messages of an application, whose streams and types look like those of a consumer or an entity. */
  const look: [streamName: string, message: MessageInput][] = [
    ["vehicle:position-17", { type: "Recorded", data: { lat: 1, lng: 2 } }],
    ["vehicle:position-17", { type: "Recorded", data: { position: 1, lat: 1 } }],
    ["vehicle:position-17", { type: "Recorded", data: { position: "1" } }],
    ["vehicle:position-17", { type: "Recorded", data: { position: 1.5 } }],
    ["vehicle:position-17", { type: "Recorded" }],
    ["vehicle:position-17", { type: "Recorded", data: [1] }],
    ["vehicle:position-17", { type: "Moved", data: { position: 1 } }],
    ["vehicle-17", { type: "Recorded", data: { position: 1 } }],
    ["vehicle:positions-17", { type: "Recorded", data: { position: 1 } }],
    ["position-17", { type: "Recorded", data: { position: 1 } }],
    ["shirts:group-1", { type: "Sized", data: { size: 5 } }],
    ["queue:group-1", { type: "Waiting", data: { owner: "me" } }],
    ["queue:group-1", { type: "Waiting", data: { owner: "me", leaseDuration: "1" } }],
    ["queue:claim-1", { type: "Claimed", data: { version: 1, insurance: "x" } }],
    ["queue:claim-1", { type: "Claimed", data: { amount: 1 } }],
    ["picture:snapshot-1", { type: "Recorded", data: { entityVersion: "1", entityData: {} } }],
    ["picture:snapshot-1", { type: "Recorded", data: { width: 1 } }],
    ["ledger:aggregate-x", { type: "Recorded", data: { position: null } }],
    ["account:parked-1", { type: "Parked", data: { street: "Main" } }],
  ];

  test("all messages of an application, in a stream of their own or beside bookkeeping", async () => {
    for (let times = 0; times < 3; times++) {
      for (const [streamName, message] of look) {
        await write(db.sql, streamName, message);
        if (/position-/.test(streamName)) {
          await write(db.sql, streamName, { type: "Recorded", data: { position: times } });
        }
      }
    }
    const before = await everything(db.sql);
    const pruned = await prune(db.sql, { olderThan: 0 });
    const after = await everything(db.sql);
    const foreign = (messages: Message[]) => messages.filter((it) => !isOwnMessage(it));
    assert.deepEqual(foreign(after), foreign(before));
    assert.ok(pruned.positions > 15);
    assert.equal(before.length - after.length, pruned.positions);
    assert.deepEqual({ ...pruned, positions: 0 }, NOTHING);
    // The first, the first with the last position, and the last, in the one stream of such a name.
    const own = after.filter((it) => isOwnMessage(it) && it.streamName === "vehicle:position-17");
    assert.deepEqual(own.map(({ data }) => (data as { position: number }).position), [0, 2, 2]);
  });

  test("all of it, for a role that may not delete, and says which right is needed", async () => {
    const before = await everything(db.sql);
    const sql = db.connect({ connection: { role: "message_store" } });
    await write(db.sql, "right:position-it", { type: "Recorded", data: { position: 1 } });
    await assert.rejects(prune(sql, { olderThan: 0 }), {
      name: "Error",
      message: "Cannot prune the store: the role message_store may not delete messages, which " +
        '"grant delete on message_store.messages to message_store" allows',
    });
    assert.deepEqual(await prune(sql, { dryRun: true }), NOTHING);
    assert.equal((await everything(db.sql)).length, before.length + 1);
    await db.sql`grant delete on message_store.messages to message_store`;
    await prune(sql, { olderThan: 0 });
    await db.sql`revoke delete on message_store.messages from message_store`;
  });

  test("everything, for arguments of the wrong type", async () => {
    const sql = fromQuery(() => assert.fail("sent"));
    const fails = (options: unknown, name: string, message: string) =>
      assert.rejects(prune(sql, options as object), { name, message });
    const when = "it must be a valid Date, or a number of milliseconds";
    await fails({ olderThan: "1 day" }, "TypeError", `Cannot use "1 day" as "olderThan": ${when}`);
    await fails({ olderThan: null }, "TypeError", `Cannot use null as "olderThan": ${when}`);
    await fails(
      { olderThan: new Date(NaN) },
      "TypeError",
      `Cannot use Invalid Date as "olderThan": ${when}`,
    );
    await fails(
      { olderThan: -1 },
      "RangeError",
      'Cannot use -1 as "olderThan": it must be an integer from 0 to 9007199254740991',
    );
    await fails({ dryRun: 1 }, "TypeError", 'Cannot use 1 as "dryRun": it must be true or false');
    await fails(
      { onProgress: 1 },
      "TypeError",
      'Cannot use 1 as "onProgress": it must be a function',
    );
    await fails(null, "TypeError", 'Cannot use null as "options": it must be an object');
  });
});

describe("beside prune()", () => {
  const db = useDatabase();

  test("a member that has never run starts where the others have started", async () => {
    const member = async (member: number) => {
      const handled: unknown[] = [];
      const handle = ({ data }: Message) => void handled.push(data);
      const consumer = { category: "shares", consumerId: "it", consumerGroup: { member, size: 2 } };
      const startAt = "end";
      await drain(db.sql, { ...consumer, startAt, positionUpdateInterval: 1, handle });
      return handled;
    };
    await member(0);
    await writeCounted(db.sql, "shares", 40, { streams: 10 });
    const first = await member(0);
    assert.ok((await prune(db.sql, { olderThan: 0 })).positions > 5);
    assert.equal(new Set([...first, ...await member(1)]).size, 40);
  });

  test("a consumer that comes back after others is told of no store that went back", async () => {
    const name = "away:position-it";
    const consumer = { category: "away", consumerId: "it", transactional: true } as const;
    const options = { leaseDuration: 300, pollInterval: 20, commitInterval: 0 } as const;
    const positions = await writeCounted(db.sql, "away", 3);
    const [working, away] = [gate(), gate()];
    let isAway = false;
    let isLost = false;
    const told: unknown[] = [];
    const sql = new Proxy(db.sql, {
      apply: async (target, self, parameters: Parameters<typeof db.sql>) => {
        if (isAway) await away.opened;
        return await Reflect.apply(target, self, parameters);
      },
    });
    const first = start(sql, {
      ...consumer,
      ...options,
      onRetry: (error) => told.push(error),
      onEvent: ({ type }) => isLost ||= type === "claimLost",
      handle: async ({ data }) => {
        if (data !== 1) return;
        isAway = true;
        await working.opened;
      },
    });
    await until(() => isAway);
    const other = { ...consumer, ...options, positionUpdateInterval: 1, handle: () => {} };
    const second = start(db.sql, other);
    await until(async () => (await stored(db.sql, name)).at(-1) === positions.at(-1));
    await prune(db.sql, { olderThan: 0 });
    working.open();
    away.open();
    await until(() => isLost || told.length > 0);
    await Promise.all([first.stop(), second.stop()]);
    assert.deepEqual(told, []);
  });

  test("a running fleet loses and doubles nothing, and no store went back", async () => {
    const { sql } = db;
    const streams = 12;
    const total = 240;
    const ending = new AbortController();
    const { signal } = ending;
    const retries: unknown[] = [];
    const onRetry = (error: unknown) => void retries.push(error);
    const counts = new Map<string, Map<string, unknown[]>>();
    const counting = (name: string) => {
      const handled = new Map<string, unknown[]>();
      counts.set(name, handled);
      return ({ streamName, data }: Message) => {
        if (!streamName.startsWith("fleet-")) return;
        handled.set(streamName, [...handled.get(streamName) ?? [], data]);
      };
    };
    const common = { onRetry, pollInterval: 5, positionUpdateInterval: 1 };
    const fleet = { ...common, category: "fleet" };
    const inGroup = counting("group");
    const parking = counting("parked");
    const counter = entity({
      category: "fleet",
      init: () => 0,
      evolve: (state: number) => state + 1,
      snapshot: { every: 2 },
    });
    const seen: unknown[] = [];
    const running: Promise<unknown>[] = [
      consume(sql, { ...fleet, consumerId: "plain", handle: counting("plain") }, { signal }),
      ...[1, 2, 3].map(() =>
        consume(
          sql,
          { ...fleet, consumerId: "group", consumerGroup: { size: 4 }, handle: inGroup },
          {
            signal,
          },
        )
      ),
      consume(sql, { ...common, category: "$all", consumerId: "all", handle: counting("all") }, {
        signal,
      }),
      aggregate(sql, {
        ...{ onRetry, pollInterval: 5 },
        name: "whole",
        from: ["fleet"],
        partition: ({ streamName }) => streamName.slice(6),
      }, { signal }),
      consume(sql, {
        ...common,
        aggregate: "whole",
        consumerId: "it",
        handle: counting("aggregate"),
      }, { signal }),
      consume(sql, { ...fleet, consumerId: "parks", onError: "park", handle: () => "park" }, {
        signal,
      }),
      (async () => {
        while (!signal.aborted) {
          await replayParked(sql, { ...fleet, consumerId: "parks", handle: parking });
        }
      })(),
      (async () => {
        for await (const message of subscribe(sql, "$all", { signal, pollInterval: 5 })) {
          if (message.streamName.startsWith("fleet-")) seen.push(message.data);
        }
      })().catch((error) => {
        if (!signal.aborted) throw error;
      }),
    ];
    let pruned = 0;
    const pruning = [1, 2].map(async () => {
      while (!signal.aborted) {
        const counts = await prune(sql, { olderThan: 0 });
        pruned += Object.values(counts).reduce((sum: number, it: number) => sum + it, 0);
      }
    });
    const writing = (async () => {
      for (let at = 0; at < total; at++) {
        await write(sql, `fleet-${at % streams}`, { type: "Counted", data: at });
        if (at % 5 === 0) await counter.fetch(sql, String(at % streams));
      }
    })();
    const failed = Promise.race([...running, ...pruning].map((it) => it.then(() => {})));
    failed.catch(() => {});
    const isDone = () =>
      seen.length >= total &&
      ["plain", "group", "all", "aggregate", "parked"].every((name) =>
        [...counts.get(name)!.values()].flat().length >= total
      );
    await Promise.race([writing.then(() => until(isDone)), failed]);
    ending.abort();
    await Promise.all([...running, ...pruning]);

    assert.deepEqual(retries, []);
    assert.ok(pruned > total, String(pruned));
    assert.deepEqual(seen, Array.from({ length: total }, (_, at) => at));
    const expected = Array.from(
      { length: streams },
      (_, stream) => Array.from({ length: total / streams }, (_, at) => stream + at * streams),
    );
    for (const [name, handled] of counts) {
      for (let stream = 0; stream < streams; stream++) {
        const got = handled.get(`fleet-${stream}`);
        // In a group, a member that is taken over may handle a message once more.
        const once = name === "group" ? [...new Set(got)] : got;
        assert.deepEqual(once, expected[stream], `${name} ${stream}`);
      }
    }
    assert.equal((await readAggregate(sql, "whole", { batchSize: 10_000 })).length, total);
    assert.equal((await counter.fetch(sql, "0")).state, total / streams);
    await prune(sql, { olderThan: 0 });
    await rewind(sql, { category: "fleet", consumerId: "plain" }, "beginning");
    const again: unknown[] = [];
    const handle = ({ data }: Message) => void again.push(data);
    await drain(sql, { category: "fleet", consumerId: "plain", handle });
    assert.equal(again.length, total);
  });
});
