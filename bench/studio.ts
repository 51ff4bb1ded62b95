/**
 * `npm run bench:studio`: what the first look of a view of the studio costs the database, on a store of 1,000,000
 * messages with 20 consumers, 8 of them far behind, and some hundreds of parked messages.
 *
 * It starts the embedded server, or takes the database of `DATABASE_URL`, as a superuser, which must hold no messages,
 * and fills it. `--messages` and `--rounds` say how large the store is made, and how often each view is looked at.
 */
import { drain } from "@messagedb/client";
import { startEmbedded } from "@messagedb/client/embedded";
import { install } from "@messagedb/client/install";
import { studio } from "@messagedb/client/studio";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { number, spreadOf, table } from "./_compare.ts";
import { explainer } from "./_plans.ts";

const { values } = parseArgs({
  options: {
    messages: { type: "string", default: "1000000" },
    rounds: { type: "string", default: "9" },
  },
});
const messages = Number(values.messages);
const rounds = Number(values.rounds);
const DAY = 86_400_000;

const given = process.env["DATABASE_URL"];
const dataDir = await mkdtemp(join(tmpdir(), "messagedb-bench-"));
const embedded = given ? undefined : await startEmbedded({ dataDir });
const { sql, explain } = await explainer(given ?? embedded!.url);
try {
  await install(sql);
  const [any] = await sql`select from message_store.messages limit 1`;
  if (any) throw new Error("Cannot fill the store: it holds messages");
  await fill();
  const since = new Date(Date.now() - DAY).toISOString();
  const until = new Date(Date.now() + 60_000).toISOString();
  const [{ id } = {}] = await sql`
    select id from message_store.messages where stream_name = 'account-1' and position = 1`;
  const parking = { category: "account", consumerId: "parking" };
  const views: Record<string, readonly (readonly [operation: string, given?: object])[]> = {
    "the overview": [
      ["open"],
      ["pulse"],
      ["storeStatus"],
      ["consumers"],
      ["diagnose"],
      ["activity", { since, until, buckets: 90 }],
    ],
    "all messages": [["findMessages", { source: "$all", direction: "backward", startAt: "end" }]],
    "a category": [["findMessages", { source: "order", direction: "backward", startAt: "end" }]],
    "a category, a text": [["findMessages", { source: "order", text: "nowhere" }]],
    "the streams of a category": [["streams", { category: "account" }]],
    "a stream": [["findMessages", { source: "account-1" }]],
    "a message": [["readMessage", { id }]],
    "cause and effect": [["trace", { id, limit: 500 }]],
    "an entity in time": [["states", { streamName: "account-1" }]],
    consumers: [["consumers"]],
    "a consumer": [
      ["consumers"],
      ["parked", { consumer: parking }],
      ["nextMessage", { consumer: parking }],
    ],
  };
  const rows: string[][] = [];
  for (const [view, calls] of Object.entries(views)) {
    const times: number[] = [];
    let count = 0;
    for (let round = 0; round <= rounds; round++) {
      const { time, statements } = await explain(async (tx) => {
        const ask = callsTo(studio(tx, { authorize: () => true }));
        await Promise.all(calls.map((call) => ask(...call)));
      });
      // The first look reads from the disk, and plans.
      if (round > 0) times.push(time);
      count = statements;
    }
    const { median, low, high } = spreadOf(times);
    rows.push([view, String(count), number(median), `${number(low)} to ${number(high)}`]);
  }
  console.log(`
What the first look of a view costs the database, of ${number(messages)} messages

${table([["", "statements", "ms", "the middle half"], ...rows])}

The times of all statements together, medians of ${rounds} rounds, each by a studio of its own. The handle has one
connection; PostgreSQL also counts what it does.`);
} finally {
  await sql.end();
  await embedded?.stop();
  await rm(dataDir, { recursive: true, force: true });
}

/** Writes what a day leaves behind: every tenth message has a cause, and a stream is as long as a hundred messages. */
async function fill(): Promise<void> {
  await sql`
    insert into message_store.messages (stream_name, position, type, data, metadata, time)
    select
      category || '-' || number / 10 % (${messages}::int / 1000),
      row_number() over (
        partition by category, number / 10 % (${messages}::int / 1000) order by number
      ) - 1,
      'Type' || number % 7,
      jsonb_build_object('amount', number, 'note', repeat('x', 60)),
      case when number % 10 = 9 then jsonb_build_object(
        'causationMessageStreamName', 'account-1',
        'causationMessagePosition', 1
      ) end,
      (now() at time zone 'utc') - make_interval(secs => 86400.0 * (${messages} - number) / ${messages})
    from
      generate_series(1, ${messages}::int) as number,
      lateral (
        select (array['account', 'account', 'account', 'order', 'order', 'meter', 'letter'])[number % 7 + 1]
          as category
      ) as chosen
    order by number`;
  await sql`analyze message_store.messages`;
  const categories = ["account", "order", "meter", "letter"];
  for (let at = 0; at < 20; at++) {
    const category = categories[at % 4]!;
    const isBehind = at < 8;
    await drain(sql, {
      category,
      consumerId: `consumer${at}`,
      startAt: isBehind ? "beginning" : "end",
      handle: () => {},
    }, { limit: 1000 });
  }
  await drain(sql, {
    category: "account",
    consumerId: "parking",
    handle: () => Promise.reject(new Error("Not today")),
    onError: "park",
  }, { limit: Math.min(500, messages / 100) });
  await sql`vacuum analyze message_store.messages`;
}

/** Calls a studio as its page does. */
function callsTo(
  handle: (request: Request) => Promise<Response>,
): (operation: string, given?: object) => Promise<void> {
  const headers = {
    "content-type": "application/json",
    "x-messagedb-studio": "1",
    "sec-fetch-site": "same-origin",
    origin: "http://studio",
  };
  return async (operation, given = {}) => {
    const url = `http://studio/api/${operation}`;
    const init = { method: "POST", headers, body: JSON.stringify(given) };
    const answer = await handle(new Request(url, init));
    if (!answer.ok) throw new Error(`${operation}: ${answer.status} ${await answer.text()}`);
  };
}
