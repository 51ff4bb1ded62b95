import assert from "node:assert/strict";
import type postgres from "postgres";
import { afterAll, beforeAll, test } from "vitest";
import {
  append,
  type Message,
  readAll,
  readLastMessage,
  settle,
  type Sql,
  subscribe,
  write,
} from "../../mod.ts";
import { connectTo } from "./_connect.ts";
import { until } from "../_until.ts";
import { type Pair, startPair, startSubscriber } from "./_pair.ts";

let pair: Pair;
let onPrimary: postgres.Sql;
let onStandby: postgres.Sql;
let onSubscriber: postgres.Sql;

beforeAll(async () => {
  pair = await startPair();
  ({ onPrimary, onStandby } = pair);
  await onPrimary`
    create function public.delay() returns trigger language plpgsql as $$
    begin
      if random() < 0.5 then perform pg_sleep(random() * 0.02); end if;
      return new;
    end $$`;
  await onPrimary`
    create trigger delay before insert on message_store.messages
    for each row when (new.type = 'Written') execute function public.delay()`;
  onSubscriber = await startSubscriber(pair, "copy");
});
afterAll(async () => {
  await onSubscriber`drop subscription copy`;
  await onSubscriber.end();
  await pair.stop();
});

/** Runs `settle` until it is ended. */
function settling(sql: Sql): { end(): Promise<void> } {
  const ending = new AbortController();
  const running = settle(sql, { signal: ending.signal, interval: 20 });
  running.catch(() => {});
  const end = async () => {
    ending.abort();
    await running;
  };
  return { end };
}

/** Writes in 16 connections, commits late and in any order, and rolls back: half of it by plain INSERTs. */
async function writeInDisorder(sql: postgres.Sql, each: number): Promise<Set<string>> {
  const committed = new Set<string>();
  const failure = new Error("rolled back");
  await Promise.all(Array.from({ length: 16 }, async (_, writer) => {
    for (let count = 0; count < each; count++) {
      const id = crypto.randomUUID();
      const streamName = `disorder${writer}-1`;
      try {
        await sql.begin(async (sql) => {
          if (writer % 2 === 0) await write(sql, streamName, { id, type: "Written" });
          else {
            await sql`
              insert into message_store.messages (id, stream_name, position, type)
              values (${id}, ${`${streamName}${id}`}, 0, 'Written')`;
          }
          if (Math.random() < 0.5) await sql`select pg_sleep(random() * 0.03)`;
          if (Math.random() < 0.2) throw failure;
        });
        committed.add(id);
      } catch (error) {
        assert.equal(error, failure);
      }
    }
  }));
  return committed;
}

/** Takes the messages of a run of writers from a subscription, until the last one comes. */
async function takeAll(
  messages: AsyncIterable<Message>,
  isLast: (message: Message) => boolean,
): Promise<{ ids: string[]; isOrdered: boolean }> {
  const ids: string[] = [];
  let last = 0;
  let isOrdered = true;
  for await (const message of messages) {
    isOrdered &&= message.globalPosition > last;
    last = message.globalPosition;
    if (message.type === "Written") ids.push(message.id);
    if (isLast(message)) break;
  }
  return { ids, isOrdered };
}

test("while 16 writers commit late and roll back, a standby and a subscriber give each message once and in order", async () => {
  const writers = connectTo(pair.primary.url, 16);
  const settlers = [connectTo(pair.primary.url, 1), connectTo(pair.primary.url, 1)];
  const followers = [
    connectTo(pair.standby.url, 2),
    connectTo(urlOfSubscriber(), 2),
  ];
  const first = settling(settlers[0]!);
  let second = settling(settlers[1]!);
  const start = (await append(onPrimary, "begin-1", { type: "Begun" })).globalPosition;
  await until(async () => (await readLastMessage(onSubscriber, "begin-1")) !== undefined);
  await until(async () => (await readAll(onSubscriber).catch(() => [])).length > 0);
  await until(async () => (await readAll(onStandby).catch(() => [])).length > 0);
  const isLast = ({ type }: Message) => type === "Ended";
  const following = followers.map((sql) =>
    takeAll(subscribe(sql, "$all", { startAt: start, batchSize: 50 }), isLast)
  );
  const half = await writeInDisorder(writers, 15);
  // One is killed, and started again.
  await settlers[1]!.end({ timeout: 0 });
  await second.end().catch(() => {});
  settlers[1] = connectTo(pair.primary.url, 1);
  second = settling(settlers[1]);
  const rest = await writeInDisorder(writers, 15);
  await append(onPrimary, "begin-1", { type: "Ended" });
  const written = [...half, ...rest].sort();
  for (const { ids, isOrdered } of await Promise.all(following)) {
    assert.deepEqual([...ids].sort(), written);
    assert.ok(isOrdered);
  }
  await Promise.all([first.end(), second.end()]);
  await Promise.all([writers, ...settlers, ...followers].map((sql) => sql.end()));
});

function urlOfSubscriber(): string {
  const url = new URL(pair.primary.url);
  url.pathname = "/copy";
  return url.href;
}
