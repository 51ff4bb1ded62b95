/**
 * Tests the decisions, and what is left of an account whose owner is forgotten, without a database.
 *
 *     npx tsx --test examples/erasure_accounts.test.ts
 */
import { given } from "@messagedb/client/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { accountsWith, type Key, type Keys, withdraw } from "./erasure_accounts.ts";

const inMemory = new Map<string, Key>();
const keys: Keys = {
  ofSubject: (subject) => Promise.resolve(inMemory.get(subject)),
  withId: (id) => Promise.resolve([...inMemory.values()].find((key) => key.id === id)),
  make(subject) {
    const key = crypto.getRandomValues(new Uint8Array(32));
    inMemory.set(subject, { id: crypto.randomUUID(), key });
    return Promise.resolve();
  },
};

const { accounts, messages: { Named, Deposited, Withdrawn, Erased } } = accountsWith(keys);

/** What is stored under a key that is deleted. */
const forgotten = { key: crypto.randomUUID(), iv: "", ciphertext: "" };

test("withdraw() takes out what is there, and no more", async () => {
  const account = given(accounts, [Deposited({ amount: 10, reference: "rent" })]);
  const { messages, state } = await account.when((account) => withdraw(account, 10));
  assert.deepEqual(messages, [Withdrawn({ amount: 10 })]);
  assert.deepEqual(state, { owner: null, balance: 0 });
  await assert.rejects(account.when((account) => withdraw(account, 11)), /not enough/);
});

test("withdraw() refuses what is no amount: the constructor and the write do", async () => {
  const account = given(accounts, [Deposited({ amount: 10, reference: null })]);
  await assert.rejects(account.when((account) => withdraw(account, -5)), /amount: Too small/);
  assert.throws(
    () => Withdrawn({ amount: -5 }),
    /Cannot make message "Withdrawn": amount: Too small/,
  );
});

test("an account knows its owner, until that is erased", async () => {
  const named = [Named({ owner: "Ada" }), Deposited({ amount: 10, reference: "rent" })];
  const before = await given(accounts, named).when(() => null);
  assert.deepEqual(before.state, { owner: "Ada", balance: 10 });
  const after = await given(accounts, named).when(() => Erased());
  assert.deepEqual(after.state, { owner: null, balance: 10 });
});

test("an account whose owner is forgotten keeps its money, and can be used", async () => {
  const { state } = await given(accounts, [
    { type: "Named", data: forgotten },
    { type: "Deposited", data: { amount: 10, reference: forgotten } },
  ]).when((account) => withdraw(account, 4));
  assert.deepEqual(state, { owner: null, balance: 6 });
});
