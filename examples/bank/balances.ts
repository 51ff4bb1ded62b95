/**
 * How much is in which account?
 *
 * A read model answers that: a table that a consumer keeps. It can be thrown away and made again of the
 * messages, and there can be as many of them as there are questions.
 */
import type { Consumer, Sql } from "@messagedb/client";
import type postgres from "postgres";
import { type AccountMessage, accountMessages } from "./messages.ts";

/** A row of the table. */
export interface Balance {
  readonly account: string;
  readonly owner: string;
  readonly cents: bigint;
}

/** A row and the consumer's position are one transaction: each message is counted once. */
export const balances: Consumer<postgres.Sql, AccountMessage> = {
  category: "account",
  consumerId: "balances",
  messages: accountMessages,
  transactional: true,
  handlers: {
    Opened: ({ streamName, data }, { sql }) =>
      sql`insert into public.balances values (${streamName}, ${data.owner}, 0)`,
    Deposited: ({ streamName, data }, { sql }) => add(sql, streamName, data.amount),
    Withdrawn: ({ streamName, data }, { sql }) => add(sql, streamName, -data.amount),
    Refunded: ({ streamName, data }, { sql }) => add(sql, streamName, data.amount),
  },
};

async function add(sql: Sql, account: string, cents: bigint): Promise<void> {
  await sql`
    update public.balances
    set cents = cents + ${String(cents)}::bigint
    where account = ${account}`;
}

export async function createBalances(sql: Sql): Promise<void> {
  await sql`
    create table if not exists public.balances (
      account text primary key,
      owner text not null,
      cents bigint not null
    )`;
}

export async function readBalances(sql: postgres.Sql): Promise<Balance[]> {
  const rows = await sql<{ account: string; owner: string; cents: string }[]>`
    select account, owner, cents::text
    from public.balances
    order by owner, account`;
  return rows.map((row) => ({ ...row, cents: BigInt(row.cents) }));
}
