/**
 * What does an account do with its commands? No database is needed to see that.
 *
 *     npx tsx --test examples/bank/account.test.ts
 */
import { given } from "@messagedb/client/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { account, deposit, open, withdraw } from "./account.ts";
import { accountMessages } from "./messages.ts";

const { Opened, Deposited, DepositRefused, Withdrawn, WithdrawalRefused } = accountMessages;

test("an account is opened once", async () => {
  const first = await given(account).when((state) => open(state, "Ada"));
  assert.deepEqual(first.messages, [Opened({ owner: "Ada" })]);
  const again = await given(account, [Opened({ owner: "Ada" })]).when((state) =>
    open(state, "Eve")
  );
  assert.deepEqual(again.messages, []);
});

test("an account that nobody has opened takes no money", async () => {
  const { messages } = await given(account).when((state) => deposit(state, 100n));
  assert.deepEqual(messages, [DepositRefused({ amount: 100n, reason: "the account is not open" })]);
});

test("an account gives what it has, and no more", async () => {
  const rich = given(account, [Opened({ owner: "Ada" }), Deposited({ amount: 100n })]);
  const { messages, state } = await rich.when((state) => withdraw(state, 100n));
  assert.deepEqual(messages, [Withdrawn({ amount: 100n })]);
  assert.equal(state.balance, 0n);

  const refused = await rich.when((state) => withdraw(state, 101n));
  const reason = "there is not enough in the account";
  assert.deepEqual(refused.messages, [WithdrawalRefused({ amount: 101n, reason })]);
  assert.equal(refused.state.balance, 100n);
});

test("nobody withdraws less than nothing", async () => {
  await assert.rejects(given(account).when((state) => withdraw(state, -1n)), /amount/);
});
