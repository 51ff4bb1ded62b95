/**
 * How does money get from one account to another, when each account is written by itself?
 *
 * By a saga, or process manager. It reacts to each message of a transfer with the next one:
 *
 *     transfer Requested ─ from: Withdrawn ─ to: Deposited ───────────────────────── transfer Completed
 *                        │                 └ to: DepositRefused ─ from: Refunded ─── transfer Cancelled
 *                        └ from: WithdrawalRefused ───────────────────────────────── transfer Cancelled
 *
 * It can be killed at any point, and started twice: each step is one write, and all that is to be known is
 * in the store. A step happens once, though its message may be handled twice: each is a command with an id,
 * that of the message that it follows from, and a command that comes twice is decided once.
 *
 * (Two accounts in one store need none of this: `decide` over both writes to both, or to neither. A saga
 * is for what cannot be written at once: accounts of two banks, a payment and a parcel.)
 */
import {
  type Consumer,
  correlate,
  type Entity,
  entity,
  type HandlerContext,
  id,
  iterateCategory,
  type Message,
  readStream,
  type Sql,
  streamName,
} from "@messagedb/client";
import { account, deposit, refund, withdraw } from "./account.ts";
import {
  type AccountMessage,
  accountMessages,
  type TransferInput,
  type TransferMessage,
  transferMessages,
} from "./messages.ts";

const { Requested, Completed, Cancelled } = transferMessages;

/** What is asked for. The accounts are named by their ids. */
export interface Order {
  readonly from: string;
  readonly to: string;
  readonly amount: bigint;
}

/** The state of a transfer. */
export interface Transfer extends Order {
  readonly status: "requested" | "completed" | "cancelled";
  readonly reason?: string;
}

export const transfer: Entity<Transfer | null, TransferInput> = entity({
  category: "transfer",
  messages: transferMessages,
  init: (): Transfer | null => null,
  handlers: {
    Requested: (_, { data }) => ({ ...data, status: "requested" }),
    Completed: (state) => state && { ...state, status: "completed" },
    Cancelled: (state, { data }) => state && { ...state, ...data, status: "cancelled" },
  },
});

/**
 * Asks for a transfer. The caller chooses its id, and can ask again with that.
 *
 * All messages that follow from this one carry its `correlationStreamName`, since each is written with
 * the handler's `follow`.
 */
export async function requestTransfer(sql: Sql, id: string, order: Order): Promise<void> {
  await transfer.decide(sql, id, (state) => {
    return state ? null : correlate(Requested(order), streamName("transfer", id));
  });
}

/** The first step: consumes what happens to transfers. */
export const requests: Consumer<Sql, TransferMessage> = {
  category: "transfer",
  consumerId: "transfers",
  messages: transferMessages,
  handlers: {
    async Requested({ id, data: { from, amount } }, { sql, follow }) {
      // If this runs twice, it is decided once.
      const command = { commandId: id };
      await account.decide(sql, from, (state) => follow(withdraw(state, amount)), command);
    },
  },
  onError: { retry: 3, then: "park" },
};

/** The other steps: consumes what happens to accounts because of transfers. */
export const answers: Consumer<Sql, AccountMessage> = {
  category: "account",
  correlation: "transfer",
  consumerId: "transfers",
  messages: accountMessages,
  handlers: {
    async Withdrawn(message, { sql, follow }) {
      const { to, amount } = await transferOf(message, sql);
      const command = { commandId: message.id };
      await account.decide(sql, to, (state) => follow(deposit(state, amount)), command);
    },
    async DepositRefused(message, { sql, follow }) {
      const { from, amount } = await transferOf(message, sql);
      const { reason } = message.data;
      const command = { commandId: message.id };
      await account.decide(sql, from, () => follow(refund(amount, reason)), command);
    },
    Deposited: (message, context) => end(message, Completed(), context),
    WithdrawalRefused: (message, context) => {
      return end(message, Cancelled({ reason: message.data.reason }), context);
    },
    Refunded: (message, context) => {
      return end(message, Cancelled({ reason: message.data.reason }), context);
    },
  },
  onError: { retry: 3, then: "park" },
};

/** Ends a transfer: once, which its state tells. (An account's state knows nothing of transfers.) */
async function end(
  message: Message,
  ending: TransferInput,
  { sql, follow }: HandlerContext,
): Promise<void> {
  await transfer.decide(sql, transferId(message), (state) => {
    return state?.status === "requested" ? follow(ending) : null;
  });
}

async function transferOf(message: Message, sql: Sql): Promise<Transfer> {
  const { state } = await transfer.fetch(sql, transferId(message));
  if (state === null) throw new Error(`Cannot find the transfer of message "${message.id}"`);
  return state;
}

/** Which transfer a message of an account is for: `answers` gets none without a `correlation`. */
function transferId({ metadata }: Message): string {
  return id(metadata!.correlationStreamName!)!;
}

/** All that was said in a transfer, by the transfer and by accounts, in order. */
export async function conversation(
  sql: Sql,
  id: string,
): Promise<(TransferMessage | AccountMessage)[]> {
  const name = streamName("transfer", id);
  const said: (TransferMessage | AccountMessage)[] = await readStream(sql, name, {
    messages: transferMessages,
  });
  const ofTransfers = iterateCategory(sql, "account", {
    messages: accountMessages,
    correlation: "transfer",
    position: said[0]?.globalPosition,
  });
  for await (const message of ofTransfers) {
    if (message.metadata?.correlationStreamName === name) said.push(message);
  }
  return said.sort((a, b) => a.globalPosition - b.globalPosition);
}
