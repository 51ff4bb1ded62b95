/**
 * What is an account, and what can be asked of it?
 *
 * An account is what its messages make of it: nothing else is stored. A command is a function from that
 * state to the message that answers it. It needs no database, and is as easy to test as any function.
 */
import { type Entity, entity } from "@messagedb/client";
import { type AccountInput, accountMessages } from "./messages.ts";

const { Opened, Deposited, DepositRefused, Withdrawn, WithdrawalRefused, Refunded } =
  accountMessages;

/** The state of an account; one without an owner is not open. */
export interface Account {
  readonly owner: string | null;
  readonly balance: bigint;
}

/**
 * `account.fetch(sql, id)` reads an account, and `account.decide(sql, id, command)` writes what the
 * command answers. If somebody else was faster, it reads again and asks the command again.
 */
export const account: Entity<Account, AccountInput> = entity({
  category: "account",
  messages: accountMessages,
  init: (): Account => ({ owner: null, balance: 0n }),
  handlers: {
    Opened: (state, { data }) => ({ ...state, owner: data.owner }),
    Deposited: (state, { data }) => ({ ...state, balance: state.balance + data.amount }),
    Withdrawn: (state, { data }) => ({ ...state, balance: state.balance - data.amount }),
    Refunded: (state, { data }) => ({ ...state, balance: state.balance + data.amount }),
  },
});

/** Opens an account; one that is open already stays as it is. */
export function open(state: Account, owner: string): AccountInput | undefined {
  return state.owner === null ? Opened({ owner }) : undefined;
}

/** Puts money in. */
export function deposit({ owner }: Account, amount: bigint): AccountInput {
  return owner === null
    ? DepositRefused({ amount, reason: "the account is not open" })
    : Deposited({ amount });
}

/** Takes money out, if there is enough. */
export function withdraw({ balance }: Account, amount: bigint): AccountInput {
  return balance < amount
    ? WithdrawalRefused({ amount, reason: "there is not enough in the account" })
    : Withdrawn({ amount });
}

/** Puts back what was withdrawn in vain. This cannot be refused. */
export function refund(amount: bigint, reason: string): AccountInput {
  return Refunded({ amount, reason });
}
