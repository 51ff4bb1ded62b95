/**
 * What happens in this bank?
 *
 * Each thing that can happen has a type and a schema. The schema says what the store holds, which is
 * JSON, and what the program gets of that. What does not fit is neither written nor handled.
 */
import { defineMessages, type MessageInputOf, type MessageOf } from "@messagedb/client";
import * as z from "zod";

/** An amount: a bigint here, its digits in the store. */
const cents = z.codec(z.string().regex(/^[1-9]\d*$/), z.bigint().positive(), {
  decode: BigInt,
  encode: String,
});

/** What happens to an account. A refusal is an event, too: somebody may be waiting for the answer. */
export const accountMessages = defineMessages({
  Opened: z.object({ owner: z.string() }),
  Deposited: z.object({ amount: cents }),
  DepositRefused: z.object({ amount: cents, reason: z.string() }),
  Withdrawn: z.object({ amount: cents }),
  WithdrawalRefused: z.object({ amount: cents, reason: z.string() }),
  Refunded: z.object({ amount: cents, reason: z.string() }),
});

/** What happens to a transfer. */
export const transferMessages = defineMessages({
  Requested: {
    schema: z.object({ from: z.string().min(1), to: z.string().min(1), amount: cents }),
    // The first version of this program counted in euros. That is read as what it would be today.
    upcasts: [({ euros, ...accounts }: { readonly euros: number }) => {
      return { ...accounts, amount: String(Math.round(euros * 100)) };
    }],
  },
  Completed: z.object({}),
  Cancelled: z.object({ reason: z.string() }),
});

export type AccountMessage = MessageOf<typeof accountMessages>;
export type AccountInput = MessageInputOf<typeof accountMessages>;
export type TransferMessage = MessageOf<typeof transferMessages>;
export type TransferInput = MessageInputOf<typeof transferMessages>;
