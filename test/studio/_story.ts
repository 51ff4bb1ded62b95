/**
 * A store of a bank, with a month of history and something wrong since this morning: an import has written amounts as
 * texts, and the consumer that keeps the balances has parked what it could not add.
 */
import {
  consume,
  type Consumer,
  drain,
  entity,
  follow,
  type Message,
  readLastMessage,
  type Sql,
  write,
} from "@messagedb/client";
import type postgres from "postgres";

interface Amount {
  readonly amount: number;
}

export const bankAccount = entity({
  category: "account",
  init: () => ({ balance: 0, holder: "", withdrawals: 0 }),
  handlers: {
    Opened: (state, { data }: Message<{ holder: string }>) => ({ ...state, holder: data.holder }),
    Deposited: (state, { data }: Message<Amount>) => ({
      ...state,
      balance: state.balance + data.amount,
    }),
    Withdrawn: (state, { data }: Message<Amount>) => ({
      ...state,
      balance: state.balance - data.amount,
      withdrawals: state.withdrawals + 1,
    }),
  },
});

/** It adds numbers, and parks what is none. */
export const bankBalances: Consumer<Sql> = {
  category: "account",
  consumerId: "balances",
  handle: ({ data }: Message) => {
    const { amount = 0 } = (data ?? {}) as { readonly amount?: unknown };
    if (typeof amount !== "number") {
      throw new TypeError(`the amount is ${JSON.stringify(amount)}, and not a number`);
    }
  },
  onError: "park",
};

/** A group of two that keeps up. */
const statements: Consumer<Sql> = {
  category: "transfer",
  consumerId: "statements",
  consumerGroup: { size: 2 },
  handle: () => {},
};

/** A consumer that nobody runs any more. */
const reports: Consumer<Sql> = { category: "invoice", consumerId: "reports", handle: () => {} };

/** Writes so many messages of the last 30 days, in one statement. */
export async function fillHistory(sql: postgres.Sql, count: number): Promise<void> {
  await sql`
    insert into message_store.messages (stream_name, type, position, data, metadata, time)
    select
      stream_name, type,
      row_number() over (partition by stream_name order by n) - 1,
      data, null,
      (now() at time zone 'utc') - (interval '30 days' - interval '10 minutes')
        * (1 - n::float8 / ${count}::int) - interval '10 minutes'
    from (
      select
        n,
        kind || '-' || (1000 + n / 10 % streams) as stream_name,
        case when n / 10 < streams then first else types[1 + n / 10 / streams % 2] end as type,
        case
          when n / 10 < streams
          then jsonb_build_object('holder', 'Customer ' || (1000 + n / 10 % streams))
          else jsonb_build_object('amount', 1 + n::bigint * 7919 % 500, 'currency', 'CHF', 'number', n)
        end as data
      from generate_series(0, ${count - 1}::int) as n
      join (values
        (0, 'account', 400, 'Opened', array['Deposited', 'Withdrawn']),
        (1, 'meter', 50, 'Installed', array['Measured', 'Measured']),
        (2, 'invoice', 900, 'Issued', array['Reminded', 'Paid']),
        (3, 'customer', 300, 'Registered', array['Moved', 'Contacted'])
      ) as kinds (at, kind, streams, first, types)
      on at = case when n % 10 < 5 then 1 when n % 10 < 8 then 0 when n % 10 = 8 then 2 else 3 end
    ) as messages
    order by n`;
  await sql`analyze message_store.messages`;
}

/** What has happened today, by the functions that programs use. */
export async function fillToday(sql: Sql): Promise<void> {
  for (let number = 1; number <= 12; number++) await transfer(sql, number);
  // The consumers go on from the end of the history, and have handled the transfers.
  for (const consumer of [bankBalances, statements, reports]) {
    await drain(sql, { ...consumer, startAt: "end" });
  }
  await write(sql, "invoice-2000", { type: "Issued", data: { amount: 75, currency: "CHF" } });
  await importCorrections(sql);
  await drain(sql, bankBalances);
}

/** A transfer, from the command to what it has done, across four streams. */
async function transfer(sql: Sql, number: number): Promise<void> {
  const [from, to] = [`account-${1000 + number * 7}`, `account-${1001 + number * 11}`];
  const amount = 20 * number;
  const last = async (name: string) => (await readLastMessage(sql, name))!;
  await write(sql, `transfer:command-${number}`, {
    type: "Transfer",
    data: { from, to, amount, currency: "CHF" },
    metadata: { correlationStreamName: `customer-${1000 + number}`, traceId: `web-${number}` },
  });
  const command = await last(`transfer:command-${number}`);
  const data = { amount, currency: "CHF" };
  await write(sql, `transfer-${number}`, follow(command, { type: "Initiated", data }));
  const initiated = await last(`transfer-${number}`);
  await write(sql, from, follow(initiated, { type: "Withdrawn", data }));
  const withdrawn = await last(from);
  await write(sql, to, follow(withdrawn, { type: "Deposited", data }));
  await write(sql, `transfer-${number}`, follow(await last(to), { type: "Completed", data: null }));
}

/** What is wrong since this morning: the amounts of an import are texts. */
async function importCorrections(sql: Sql): Promise<void> {
  await write(sql, "import:command-2026", {
    type: "ImportCorrections",
    data: { file: "corrections.csv", rows: 3 },
    metadata: { user: "night-batch" },
  });
  const command = (await readLastMessage(sql, "import:command-2026"))!;
  for (const [at, amount] of ["250.00", "80.50", "1,200.00"].entries()) {
    const type = at === 1 ? "Withdrawn" : "Deposited";
    await write(
      sql,
      `account-${1007 + at}`,
      follow(command, { type, data: { amount, currency: "CHF", reason: "correction" } }),
    );
  }
}

/** Runs the consumers, and transfers now and then, until the signal aborts. */
export async function runBank(sql: Sql, signal: AbortSignal): Promise<void> {
  let number = 100;
  const timer = setInterval(() => void transfer(sql, ++number % 30).catch(() => {}), 2000);
  signal.addEventListener("abort", () => clearInterval(timer));
  await Promise.all([
    consume(sql, bankBalances, { signal }),
    consume(sql, statements, { signal }),
  ]);
}
