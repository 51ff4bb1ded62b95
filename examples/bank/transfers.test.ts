/**
 * Which step of a transfer follows from which? No database is needed to see that.
 *
 *     npx tsx --test examples/bank/transfers.test.ts
 */
import { correlate } from "@messagedb/client";
import { given } from "@messagedb/client/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { accountMessages, transferMessages } from "./messages.ts";
import { answers, requests } from "./transfers.ts";

const { Opened, Deposited, Withdrawn } = accountMessages;
const requested = transferMessages.Requested({ from: "ada", to: "grace", amount: 30n });
const order = { "transfer-1": correlate(requested, "transfer-1") };

test("a request is answered by a withdrawal", async () => {
  const before = { "account-ada": [Opened({ owner: "Ada" }), Deposited({ amount: 100n })] };
  const { messages } = await given(requests, before).when(order);
  assert.deepEqual(
    messages.map(({ streamName, type, data }) => [streamName, type, data]),
    [["account-ada", "Withdrawn", { amount: "30" }]],
  );
  assert.equal(messages[0]!.metadata!.correlationStreamName, "transfer-1");
});

test("a withdrawal is answered by a deposit, or by its refusal", async () => {
  const withdrawn = { "account-ada": correlate(Withdrawn({ amount: 30n }), "transfer-1") };
  const open = { ...order, "account-grace": Opened({ owner: "Grace" }) };
  for (const [before, type] of [[open, "Deposited"], [order, "DepositRefused"]] as const) {
    const { messages } = await given(answers, before).when(withdrawn);
    assert.deepEqual(
      messages.map((message) => [message.streamName, message.type]),
      [["account-grace", type]],
    );
  }
});
