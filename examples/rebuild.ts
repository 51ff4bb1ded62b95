/**
 * Rebuilds a read model from the beginning, beside the old one, while messages and readers keep coming, and
 * switches readers to it in one transaction.
 *
 * The old model counts deposits alone. The new one counts withdrawals, too: it is a table of its own, filled by
 * a consumer of its own. Readers use a view. It is put on the new table when that has everything that the old
 * one has, so no reader ever sees an older balance.
 *
 *     npx tsx rebuild.ts 200000
 *
 * The number says how many messages there are before. `DATABASE_URL` says where; without it, a PostgreSQL
 * comes along.
 */
import {
  consume,
  type Consumer,
  drain,
  type Message,
  readCategory,
  waitFor,
  writeStreams,
} from "@messagedb/client";
import { startEmbedded } from "@messagedb/client/embedded";
import process from "node:process";
import postgres from "postgres";

const before = Number(process.argv[2] ?? 20_000);
const given = process.env["DATABASE_URL"];
const server = given ? undefined : await startEmbedded();
const sql = postgres(given ?? server!.url, { onnotice: () => {} });

type Moved = Message<{ readonly amount: number }>;

/** A read model: its table, and the consumer that fills it, by one statement for each page. */
function balances(table: string, types: readonly string[]): Consumer<typeof sql, Moved> {
  return {
    category: "account",
    consumerId: table,
    types,
    transactional: true,
    async handlePage(messages, { sql }) {
      const accounts = messages.map(({ streamName }) => streamName);
      const amounts = messages.map(({ type, data }) =>
        type === "Withdrawn" ? -data.amount : data.amount
      );
      await sql`
        insert into ${sql(table)} as balance (account, amount)
        select account, sum(amount)
        from unnest(${accounts}::text[], ${amounts}::int[]) as moved (account, amount)
        group by account
        on conflict (account) do update set amount = balance.amount + excluded.amount`;
    },
  };
}

const old = balances("balances_1", ["Deposited"]);
const renewed = balances("balances_2", ["Deposited", "Withdrawn"]);

/** Writes messages of a thousand accounts: a deposit of 10, a withdrawal of 1, and so on. */
async function write(count: number): Promise<void> {
  for (let written = 0; written < count; written += 1000) {
    const streams = Array.from({ length: Math.min(count - written, 1000) }, (_, at) => ({
      streamName: `account-${at}`,
      messages: [
        at % 2 === written / 1000 % 2
          ? { type: "Deposited", data: { amount: 10 } }
          : { type: "Withdrawn", data: { amount: 1 } },
      ],
    }));
    await writeStreams(sql, streams);
  }
}

/** What readers see: the sum of all balances. */
async function total(): Promise<number> {
  const [row] = await sql`select coalesce(sum(amount), 0)::int as total from balances`;
  return row!["total"];
}

/** Puts readers on the new table, in one transaction. */
async function switchOver(): Promise<void> {
  await sql.begin(async (transaction) => {
    // The old consumer waits here. So the new one catches up with all that readers have ever seen.
    await transaction`lock table balances_1 in share mode`;
    const [last] = await readCategory(sql, "account", { direction: "backward", batchSize: 1 });
    await waitFor(sql, { category: "account", consumerId: "balances_2" }, last!.globalPosition);
    await transaction`create or replace view balances as select * from balances_2`;
  });
}

for (const table of ["balances_1", "balances_2"]) {
  await sql`create table ${sql(table)} (account text primary key, amount bigint not null)`;
}
await sql`create view balances as select * from balances_1`;
await write(before);
await drain(sql, old);
console.log(
  `${before.toLocaleString("en")} messages, a total of ${await total()} by the old model`,
);

// The service: messages come, the old consumer handles them, and readers read.
const stop = new AbortController();
const stopOld = new AbortController();
let isOver = false;
let reads = 0;
const service = [
  consume(sql, old, { signal: stopOld.signal }),
  (async () => {
    while (!isOver) await write(2000);
  })(),
  (async () => {
    while (!isOver) reads += await total() > 0 ? 1 : 0;
  })(),
];

const begunAt = performance.now();
const { handled } = await drain(sql, renewed);
const seconds = (performance.now() - begunAt) / 1000;
console.log(`Rebuilt from ${handled.toLocaleString("en")} messages in ${seconds.toFixed(1)} s`);

service.push(consume(sql, renewed, { signal: stop.signal }));
await switchOver();
stopOld.abort();
console.log("Switched: readers see the new model");

isOver = true;
await service[1];
await service[2];
const [last] = await readCategory(sql, "account", { direction: "backward", batchSize: 1 });
await waitFor(sql, { category: "account", consumerId: "balances_2" }, last!.globalPosition);
stop.abort();
await Promise.all(service);
const [written] = await sql`
  select sum(case type when 'Deposited' then 10 else -1 end)::int as total
  from message_store.messages
  where type in ('Deposited', 'Withdrawn')`;
console.log(
  `${await total()} by the new model, ${
    written!["total"]
  } by the messages, ${reads} reads meanwhile`,
);

await sql.end();
await server?.stop();
