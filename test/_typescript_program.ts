/**
 * A program that takes types from every entry. Every TypeScript that the package is made for compiles it, and finds
 * the same types in it.
 */
import postgres from "postgres";
import {
  aggregate,
  type Aggregated,
  append,
  consume,
  type Consumer,
  decide,
  defineMessages,
  drain,
  entity,
  follow,
  fromQuery,
  groupCommit,
  importMessages,
  iterateAll,
  iterateStream,
  type Message,
  type MessageInputOf,
  type MessageOf,
  NO_STREAM,
  project,
  readCategory,
  readLastMessage,
  readStream,
  type Sql,
  type StandardSchema,
  subscribe,
  waitFor,
  write,
  writeStreams,
  WrongExpectedVersionError,
} from "@messagedb/client";
import { startEmbedded } from "@messagedb/client/embedded";
import { fetchSql } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import { install } from "@messagedb/client/install";
import { consumers, park, parked, rewind } from "@messagedb/client/operate";
import { studio } from "@messagedb/client/studio";
import { traced } from "@messagedb/client/otel";
import { given } from "@messagedb/client/testing";

/** Compiles if both types are the same. */
function same<_ extends true>(): void {}
type Equal<One, Other> = (<T>() => T extends One ? 1 : 2) extends (<T>() => T extends Other ? 1 : 2)
  ? true
  : false;

/** A schema of no library, because each library has an oldest TypeScript of its own. */
function schema<Output, Input = Output>(
  read: (value: unknown) => Output,
): StandardSchema<Input, Output> {
  return { "~standard": { validate: (value) => ({ value: read(value) }) } };
}

const amount = schema(() => ({ amount: 1 }));
const account = defineMessages({
  Deposited: amount,
  Withdrawn: {
    schema: amount,
    aliases: ["Withdrew"],
    upcasts: [(data: { sum: number }) => ({ amount: data.sum })],
  },
  Opened: schema<{ at: Date }, { at: string }>(() => ({ at: new Date() })),
}, { unknown: "pass" });
type AccountMessage = MessageOf<typeof account>;
same<Equal<AccountMessage["type"], "Deposited" | "Withdrawn" | "Opened" | "$unknown">>();
same<Equal<MessageOf<typeof account, "Deposited">["data"], { amount: number }>>();
same<Equal<MessageInputOf<typeof account, "Opened">["data"], { at: string }>>();

const server = await startEmbedded();
const sql = postgres(server.url);
await install(sql, { createDatabase: true });
export const tracedSql: typeof sql = traced(sql, { parent: "sender" });

export const written: number = await write(sql, "account-1", account.Deposited({ amount: 11 }), {
  expectedVersion: NO_STREAM,
});
await write(sql, "account-1", { type: "Deposited", data: { amount: 1 } }, { messages: account });
// @ts-expect-error: there is no such type
await write(sql, "account-1", { type: "Deposit", data: { amount: 1 } }, { messages: account });
// @ts-expect-error: there is no such option
await write(sql, "account-1", { type: "Deposited" }, { expected_version: 1 });
// @ts-expect-error: the amount is a number
account.Deposited({ amount: "1" });
await writeStreams(sql, [{ streamName: "account-2", messages: [account.Opened({ at: "now" })] }]);
const { globalPosition } = await append(sql, "account-1", [account.Withdrawn({ amount: 1 })]);
await groupCommit(sql, { maxBatch: 10 })("account-3", { type: "Opened" });
await importMessages(sql, iterateAll(sql), { onProgress: ({ count }) => count });

for (const message of await readStream(sql, "account-1", { messages: account })) {
  if (message.type === "Deposited") same<Equal<typeof message.data, { amount: number }>>();
  if (message.type === "$unknown") same<Equal<typeof message.storedType, string>>();
}
for await (const message of iterateStream<{ amount: number }>(sql, "account-1")) {
  same<Equal<typeof message.data, { amount: number }>>();
}
const last = await readLastMessage(sql, "account-1", { type: "Deposited", messages: account });
same<Equal<typeof last, AccountMessage | null>>();

const accounts = entity({
  category: "account",
  messages: account,
  init: () => ({ balance: 0 }),
  handlers: {
    Deposited: (state, { data }) => ({ balance: state.balance + data.amount }),
    Withdrawn: (state, { data }) => ({ balance: state.balance - data.amount }),
  },
  snapshot: { every: 100, version: 2 },
});
const { version } = await accounts.decide(sql, "1", ({ balance }, version) => {
  same<Equal<typeof version, number>>();
  if (balance < 1) throw new Error("not enough");
  return account.Withdrawn({ amount: 1 });
}, { retries: 2 });
const decided = await decide(
  sql,
  { from: [accounts, "1"], to: [accounts, "2"] },
  ({ from, to }) => {
    same<Equal<typeof to, { balance: number }>>();
    return from.balance < 1 ? null : {
      from: account.Withdrawn({ amount: 1 }),
      to: [account.Deposited({ amount: 1 })],
    };
  },
);
same<Equal<typeof decided.versions.from, number>>();
const outcome = await given(accounts, [account.Deposited({ amount: 11 })])
  .when(() => account.Withdrawn({ amount: 5 }));
same<Equal<typeof outcome.state, { balance: number }>>();
const folded = await accounts.fold([account.Deposited({ amount: 11 })]);
same<Equal<typeof folded, { balance: number }>>();
const projected = await project(sql, "account-1", {
  init: () => 0,
  evolve: (sum, { data }: Message<{ amount: number }>) => sum + data.amount,
});
same<Equal<typeof projected.state, number>>();

const letters = {
  category: "account",
  consumerId: "letters",
  messages: account,
  handlers: {
    async Deposited({ data }, { sql, follow }) {
      same<Equal<typeof data, { amount: number }>>();
      await sql`select ${data.amount}`;
      await write(sql, "letter-1", follow({ type: "Sent" }));
    },
  },
  onError: { retry: 3, then: "park" },
  transactional: true,
} satisfies Consumer<typeof sql, AccountMessage>;
await drain(sql, letters, { deadline: new Date() });
await consume(sql, {
  category: "account",
  consumerId: "balances",
  messages: account,
  handle(message) {
    if (message.type === "Withdrawn") same<Equal<typeof message.data, { amount: number }>>();
    return "skip";
  },
  onEvent(event) {
    if (event.type === "retried") same<Equal<typeof event.delay, number>>();
  },
}, { signal: AbortSignal.timeout(1) });
await waitFor(sql, letters, globalPosition);
await aggregate(sql, { name: "ledger", from: ["account"], partition: () => 0 }, { once: true });
for await (const message of subscribe(sql, { aggregate: "ledger" }, { messages: account })) {
  same<Equal<typeof message, Aggregated<AccountMessage>>>();
}

for (const { health, behind } of await consumers(sql)) if (health === "stuck") console.log(behind);
for (const { message } of await parked(sql, letters)) {
  await park(sql, letters, message.id, { reason: "none" });
}
await rewind(sql, letters, "beginning");

const remote: Sql = fetchSql("http://localhost/sql", { headers: { authorization: "Bearer 1" } });
export const answer: (request: Request) => Promise<Response> = gateway(remote, {
  authorize: (request, { writes }) => !writes || request.headers.has("authorization"),
});
export const page: (request: Request) => Promise<Response> = studio(sql, {
  authorize: (request, { operation }) => operation === "open" || request.headers.has("cookie"),
  consumers: [letters],
});
const custom = fromQuery((text, parameters) => sql.unsafe(text, parameters));
const [cause] = await readCategory(custom, "account", { consumerGroup: { member: 0, size: 2 } });
const effect = follow(cause!, account.Deposited({ amount: 1 }));
same<Equal<typeof effect.type, "Deposited">>();
try {
  await write(sql, "account-1", { type: "Opened" }, { expectedVersion: version });
} catch (error) {
  if (error instanceof WrongExpectedVersionError) {
    same<Equal<typeof error.code, "WRONG_EXPECTED_VERSION">>();
  }
}
await server.stop();
