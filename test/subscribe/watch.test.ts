import assert from "node:assert/strict";
import { onTestFinished, test } from "vitest";
import {
  consume,
  fromQuery,
  type Sql,
  StoreWentBackError,
  subscribe,
  type SubscribeOptions,
  write,
} from "../../mod.ts";
import { fetchSql } from "../../src/http/fetch_sql.ts";
import { gateway, type GatewayCall } from "../../src/http/gateway.ts";
import { seenHeadOf } from "../../src/subscribe/_seen_head.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const own = useDatabase();
const newCategory = () => `c${crypto.randomUUID().replaceAll("-", "")}`;

/** A handle that keeps the text of each statement, and fails if told to. */
function recording(sql: Sql = db.sql) {
  const sent: string[] = [];
  const state = {
    fail: undefined as ((text: string) => void) | undefined,
    sent,
    looks: () => sent.filter(isLook).length,
    others: () => sent.filter((text) => !isLook(text)),
    sql: (async (strings, ...parameters) => {
      const text = strings.join("?");
      sent.push(text);
      state.fail?.(text);
      return await sql(strings, ...parameters);
    }) as Sql,
  };
  return state;
}

const isLook = (text: string) => text.includes("txid_current_snapshot");

/** Follows a source until the test ends, and keeps what comes. */
function following(
  sql: Sql,
  source: string | { aggregate: string },
  options: SubscribeOptions = {},
): { types: string[]; done: Promise<void>; end: AbortController; caughtUp: () => number } {
  const end = new AbortController();
  const types: string[] = [];
  let caught = 0;
  const done = (async () => {
    const messages = subscribe(sql, source, {
      pollInterval: 20,
      signal: end.signal,
      onCaughtUp: () => caught++,
      ...options,
    });
    for await (const { type } of messages) types.push(type);
  })();
  done.catch(() => {});
  onTestFinished(async () => {
    end.abort();
    await done.catch(() => {});
  });
  return { types, done, end, caughtUp: () => caught };
}

/** Waits until so many looks have been sent since, without anything else between them. */
async function idle({ sent }: { sent: readonly string[] }, looks = 5): Promise<void> {
  await until(() => sent.length > looks && sent.slice(-looks).every(isLook));
}

test("all who are idle on a handle share one statement, whatever they follow", async () => {
  const handle = recording();
  const categories = Array.from({ length: 5 }, newCategory);
  const followers = categories.flatMap((category) => [
    following(handle.sql, category),
    following(handle.sql, category, { answerTimeout: 20_000 }),
    following(handle.sql, `${category}-1`),
    following(handle.sql, { aggregate: category }),
  ]);
  const all = [following(handle.sql, "$all", { types: ["T"] })];
  await until(() => [...followers, ...all].every(({ caughtUp }) => caughtUp() > 0));
  await idle(handle, 20);

  await write(db.sql, `${categories[3]}-1`, { type: "T" });
  const [a, b, stream, aggregate] = followers.slice(12, 16);
  await until(() => [a!, b!, stream!, ...all].every(({ types }) => types.includes("T")));
  await idle(handle, 20);
  assert.deepEqual(aggregate!.types, []);
  const others = [...followers.slice(0, 12), ...followers.slice(16)];
  assert.deepEqual(others.flatMap(({ types }) => types), []);
});

test("a message below what other categories have is noticed when it is committed", async () => {
  const handle = recording();
  const [late, early] = [newCategory(), newCategory()];
  const startAt = "end";
  const followers = [late, early].map((it) => following(handle.sql, it, { startAt }));
  const all = following(handle.sql, "$all", { startAt, types: ["Late", "Early"] });
  await idle(handle);
  let commit = () => {};
  const mayCommit = new Promise<void>((resolve) => commit = resolve);
  let hasWritten = false;
  const transaction = db.connect({ max: 1 }).begin(async (tx) => {
    await write(tx, `${late}-1`, { type: "Late" });
    hasWritten = true;
    await mayCommit;
  });
  await until(() => hasWritten);
  await write(db.sql, `${early}-1`, { type: "Early" });
  await until(() => followers[1]!.types.length === 1);
  const looks = handle.looks();
  await until(() => handle.looks() > looks + 5);
  assert.deepEqual(all.types, []);
  commit();
  await transaction;
  await until(() => followers[0]!.types.length === 1 && all.types.length === 2);
  assert.deepEqual(all.types, ["Late", "Early"]);
  await idle(handle);
});

test("a head is news until a read has reached it, as of a server that lags", () => {
  const seen = seenHeadOf({ position: 5 });
  const page = { length: 0, messages: () => [], next: 5, atEnd: true, mark: null };
  for (let look = 0; look < 2; look++) {
    assert.equal(seen.isNews([[5, "new"]], "store"), true);
    seen.moveTo(page);
  }
  const mark = { position: 5, id: "new", store: "store" };
  seen.moveTo({ ...page, next: 6, mark });
  assert.equal(seen.isNews([[5, "new"]], "store"), false);
  assert.equal(seen.isNews(undefined, ""), false);
  // Another run of the server, another message in its place, and none.
  for (
    const [head, store] of [[[5, "new"], "other"], [[5, "x"], "store"], [null, "store"]] as const
  ) {
    assert.equal(seen.isNews([head], store), true);
    assert.equal(seen.isNews([head], store), false);
  }
});

test("a store that goes back is noticed by who is idle, with and without a message", async () => {
  const { sql } = own;
  const handle = recording(sql);
  const [category, empty, other] = [newCategory(), newCategory(), newCategory()];
  await write(sql, `${other}-1`, { type: "Kept" });
  await write(sql, `${category}-1`, { type: "Lost" });
  const followers = [
    following(handle.sql, category),
    following(handle.sql, `${category}-1`),
    following(handle.sql, empty, { startAt: 3 }),
    following(handle.sql, "$all"),
  ];
  const kept = following(handle.sql, other);
  await until(() => followers.every(({ caughtUp }) => caughtUp() > 0));
  await idle(handle);
  await sql.begin(async (tx) => {
    await tx`delete from message_store.messages where global_position = 2`;
    await tx`select setval('message_store.messages_global_position_seq', 1)`;
  });
  for (const { done } of followers) await assert.rejects(done, StoreWentBackError);
  await write(sql, `${other}-1`, { type: "More" });
  await until(() => kept.types.length === 2);
});

test("a look that fails is not the end: each reads for itself, and the next look is shared again", async () => {
  const handle = recording();
  const category = newCategory();
  const followers = [0, 1].map(() => following(handle.sql, category));
  await idle(handle);
  let failures = 0;
  handle.fail = (text) => {
    if (!isLook(text)) return;
    failures++;
    throw Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
  };
  await until(() => failures > 3);
  await write(db.sql, `${category}-1`, { type: "T" });
  await until(() => followers.every(({ types }) => types.length === 1));
  handle.fail = undefined;
  await idle(handle);
});

test("a look that is refused is not sent again, and each reads for itself", async () => {
  const handle = recording();
  const category = newCategory();
  const followers = [0, 1].map(() => following(handle.sql, category));
  handle.fail = (text) => {
    if (isLook(text)) throw new Error("403: it is not allowed");
  };
  await until(() => handle.looks() === 1);
  const { length } = handle.sent;
  await until(() => handle.sent.length > length + 10);
  await write(db.sql, `${category}-1`, { type: "T" });
  await until(() => followers.every(({ types }) => types.length === 1));
  assert.equal(handle.looks(), 1);
});

test("who is alone is not watched, and nothing is left when the last has gone", async () => {
  const handle = recording();
  const category = newCategory();
  const first = following(handle.sql, category);
  await until(() => handle.sent.length > 5);
  assert.equal(handle.looks(), 0);
  const others = [1, 2, 3].map(() => following(handle.sql, category));
  await idle(handle);
  for (const { end, done } of others) {
    end.abort();
    await done;
  }
  await until(() => handle.sent.slice(-5).every((text) => !isLook(text)));
  first.end.abort();
  await first.done;
  const { length } = handle.sent;
  for (let at = 0; at < 50; at++) await db.sql`select 1`;
  assert.equal(handle.sent.length, length);
});

test("idle consumers of a process send one statement together", async () => {
  const handle = recording();
  const end = new AbortController();
  const categories = Array.from({ length: 4 }, newCategory);
  const handled: string[] = [];
  const running = categories.map((category, at) =>
    consume(handle.sql, {
      category,
      consumerId: "idle",
      pollInterval: 20,
      ...(at === 0 && { consumerGroup: { size: 3 } }),
      handle: ({ type }) => {
        handled.push(type);
      },
    }, { signal: end.signal })
  );
  await idle(handle, 30);
  await write(db.sql, `${categories[0]}-1`, { type: "A" });
  await write(db.sql, `${categories[1]}-1`, { type: "B" });
  await until(() => handled.length === 2);
  await idle(handle, 30);
  end.abort();
  await Promise.all(running);
});

test("over a gateway, authorize is asked for exactly what is followed", async () => {
  const [mine, yours] = [newCategory(), newCategory()];
  const asked: GatewayCall[] = [];
  const answer = gateway(db.sql, {
    authorize: (_, call) => {
      asked.push(call);
      return call.operation === "readCategory" && call.category === mine;
    },
    onError: () => {},
  });
  const sql = fetchSql("http://gateway.test/sql", {
    fetch: (url, init) => answer(new Request(url, init)),
  });
  const followers = [0, 1].map(() => following(sql, mine));
  const isAskedByWatch = ({ direction }: GatewayCall) => direction === "backward";
  await until(() => asked.filter(isAskedByWatch).length > 3);
  await write(db.sql, `${mine}-1`, { type: "T" });
  await until(() => followers.every(({ types }) => types.length === 1));
  assert.ok(asked.every(({ category }) => category === mine));
  await assert.rejects(following(sql, yours).done);
});

test("inside a transaction, a follower sees what the transaction writes", async () => {
  const category = newCategory();
  await db.connect({ max: 1 }).begin(async (tx) => {
    const handle = recording(fromQuery((text, parameters) => tx.unsafe(text, parameters)));
    const followers = [0, 1].map(() => following(handle.sql, category));
    await idle(handle);
    await write(tx, `${category}-1`, { type: "T" });
    await until(() => followers.every(({ types }) => types.length === 1));
    for (const { end, done } of followers) {
      end.abort();
      await done;
    }
  });
});
