/// <reference types="bun" />
import type { SQL as BunSql, TransactionSQL as BunTransactionSql } from "bun";
import postgres from "postgres";
import { describe, expectTypeOf, test } from "vitest";
import {
  consume,
  type Consumer,
  drain,
  type Drained,
  type Handler,
  type HandlerContext,
  type Message,
  type PageHandler,
  replayParked,
  type Sql,
  type TransactionOf,
  type Verdict,
  write,
} from "../../mod.ts";
import { fetchSql } from "../../src/http/fetch_sql.ts";

const names = { category: "account", consumerId: "it" };

describe("a handler's sql", () => {
  const sql = postgres();
  const bun = {} as BunSql;

  test("is the transaction's where the consumer is transactional, else the handle itself", () => {
    consume(sql, {
      ...names,
      transactional: true,
      handle: (_, context) =>
        void expectTypeOf(context.sql).toEqualTypeOf<postgres.TransactionSql>(),
    });
    consume(sql, {
      ...names,
      handle: (_, context) => void expectTypeOf(context.sql).toEqualTypeOf<postgres.Sql>(),
    });
    consume(sql, {
      ...names,
      transactional: false,
      handlers: {
        Opened: (_, context) => void expectTypeOf(context.sql).toEqualTypeOf<postgres.Sql>(),
      },
    });
    drain(sql, {
      ...names,
      transactional: true,
      handlers: {
        Opened: (_, context) =>
          void expectTypeOf(context.sql).toEqualTypeOf<postgres.TransactionSql>(),
      },
      onError: (_error, _message, context) => {
        expectTypeOf(context.sql).toEqualTypeOf<postgres.TransactionSql>();
        return "park";
      },
    });
  });

  test("is Bun's, too", () => {
    expectTypeOf<TransactionOf<BunSql>>().toEqualTypeOf<BunTransactionSql>();
    consume(bun, {
      ...names,
      transactional: true,
      handle: (_, context) => void expectTypeOf(context.sql).toEqualTypeOf<BunTransactionSql>(),
    });
    consume(bun, {
      ...names,
      handle: (_, context) => void expectTypeOf(context.sql).toEqualTypeOf<BunSql>(),
    });
  });

  test("is the consumer's own where the handle has no begin", () => {
    expectTypeOf<TransactionOf<Sql>>().toEqualTypeOf<Sql>();
    consume({} as Sql, {
      ...names,
      handle: (_, context) => void expectTypeOf(context.sql).toEqualTypeOf<Sql>(),
    });
  });
});

describe("a consumer", () => {
  const sql = {} as Sql;

  test("has handlers that say what their data is", () => {
    consume(sql, {
      ...names,
      handlers: {
        Deposited: ({ data }: Message<{ amount: number }>) => void data.amount,
        Renamed: async ({ data }: Message<{ name: string }>, { attempt }) => {
          expectTypeOf(attempt).toEqualTypeOf<number>();
          await Promise.resolve(data.name);
        },
      },
    });
    consume(sql, { ...names, handle: ({ data }: Message<{ amount: number }>) => void data.amount });
    consume(sql, {
      ...names,
      handle: (message) => void expectTypeOf(message).toEqualTypeOf<Message<unknown>>(),
    });
  });

  test("can be written down apart from the call", () => {
    const consumer: Consumer = { ...names, handle: ({ type }) => console.log(type) };
    consume(sql, consumer);
    const transactional: Consumer<postgres.Sql> = {
      ...names,
      transactional: true,
      handle: async (_, { sql }: HandlerContext<postgres.TransactionSql>) => {
        await sql`select 1`;
      },
    };
    expectTypeOf(drain(postgres(), transactional)).resolves.toEqualTypeOf<Drained>();
  });

  test("is copied with other options", () => {
    const plain: Consumer<Sql> = { ...names, handle: () => {} };
    consume(sql, { ...plain, consumerId: "other" });
    drain(postgres(), { ...plain, consumerId: "other" });
    const satisfying = {
      ...names,
      transactional: true,
      handlers: { Opened: (_, { sql }) => sql.savepoint((sql) => sql`select 1`) },
    } satisfies Consumer<postgres.Sql>;
    replayParked(postgres(), { ...satisfying, onError: "park" });
  });

  test("is transactional or not as a variable says", () => {
    const transactional = Math.random() < 0.5;
    drain(postgres(), { ...names, transactional, handle: (_, { sql }) => sql`select 1` });
  });

  test("is taken by a function of any handle", () => {
    const run = <Handle extends Sql>(sql: Handle, consumer: Consumer<NoInfer<Handle>>) =>
      consume(sql, { pollInterval: 20, ...consumer });
    const pool = postgres();
    run(pool, { ...names, transactional: true, handle: () => {} });
    // @ts-expect-error: this handle has no transactions
    run(sql, { ...names, transactional: true, handle: () => {} });
  });

  test("is refused where it would be at run time", () => {
    // @ts-expect-error: a consumer has a handler
    consume(sql, names);
    // @ts-expect-error: one handler
    consume(sql, { ...names, handle: () => {}, handlers: { Opened: () => {} } });
    // @ts-expect-error: one handler
    replayParked(sql, { ...names, handlers: { Opened: () => {} }, handlePage: () => {} });
    // @ts-expect-error: this handle has no transactions
    consume(sql, { ...names, transactional: true, handle: () => {} });
    // @ts-expect-error: nor has this one
    drain(fetchSql("https://gateway"), { ...names, transactional: true, handle: () => {} });
    consume(sql, { ...names, handlers: { Opened: () => {} }, unknown: "refuse" });
    // @ts-expect-error: skip or refuse
    consume(sql, { ...names, handlers: { Opened: () => {} }, unknown: "stop" });
    // @ts-expect-error: handlers have types
    consume(sql, { ...names, handlers: { Opened: () => {} }, types: ["Opened"] });
    // @ts-expect-error: a consumer has a name
    consume(sql, { category: "account", handle: () => {} });
    // @ts-expect-error: transactions are one after another
    consume(postgres(), { ...names, transactional: true, concurrency: 2, handle: () => {} });
    // @ts-expect-error: retry is a number of attempts
    consume(sql, { ...names, handle: () => {}, onError: "retry" });
    // @ts-expect-error: a group has a size
    consume(sql, { ...names, handle: () => {}, consumerGroup: { member: 1 } });
  });
});

describe("a handler", () => {
  const sql = postgres();
  const redis = {} as { set(): Promise<string | null>; incr(): Promise<number> };
  /** Takes the handler alone, of a page, and by type. */
  const take = (handle: Handler<postgres.Sql>, _?: PageHandler<postgres.Sql>) =>
    drain(sql, { ...names, handlers: { Opened: handle } });

  test("answers nothing, a verdict, or what its work has answered", () => {
    take(() => {});
    take(async () => {});
    take((_, { sql }) => sql`select 1`, (_, { sql }) => sql`select 1`);
    take(async (_, { sql }) => await sql`select 1`);
    take((_, { sql }) => sql<{ id: number }[]>`select 1 as id`.values());
    take((_, { sql }) => sql.begin(async (sql) => void await sql`select 1`));
    take(() => ({} as BunSql)`select 1`);
    take((_, { sql }) => write(sql, "account-1", { type: "Opened" }));
    take(() => redis.incr());
    take(() => fetch("https://example.com"));
    take(async () => (await fetch("https://example.com")).json());
    take(() => Promise.all([redis.set(), redis.incr()]));
    take((message) => new Map().set(message.id, message));
    take(() => ({ next: null, execute: true, pipe: "x", subscribe: 1 }));
    take(() => "park", () => "park");
    take(async () => await Promise.resolve("skip" as const));
    take(async ({ position }, { sql }) => {
      if (position > 0) return "park";
      await sql`select 1`;
    });
    take(async (): Promise<Verdict> => await Promise.resolve("stop"));
    take(async (): Promise<void | "park"> => {});
    take(() => {
      throw new Error();
    });
  });

  test("answers no other text", () => {
    // @ts-expect-error: a text
    take(() => "parked");
    // @ts-expect-error: the promise of a text
    take(() => redis.set());
    // @ts-expect-error: the promise of a text, of a page
    take(() => {}, () => redis.set());
    // @ts-expect-error: the promise of a text
    take(async () => await redis.set());
    // @ts-expect-error: a text that could be any
    take(() => {
      // deno-lint-ignore prefer-const -- the type is widened, as that of a variable is
      let verdict = "park";
      return verdict;
    });
    // @ts-expect-error: what could be anything
    take((): unknown => undefined);
  });

  test("answers no error, no function, and nothing that has not run", () => {
    // @ts-expect-error: an error
    take(() => new Error());
    // @ts-expect-error: the promise of an error
    take(async () => await Promise.resolve(new TypeError()));
    // @ts-expect-error: a function
    take(() => () => {});
    // @ts-expect-error: the promise of a function
    take(async () => await Promise.resolve(() => {}));
    // @ts-expect-error: a generator
    take(function* () {});
    // @ts-expect-error: an async generator
    take(async function* () {});
    // @ts-expect-error: a generator, of a page
    take(() => {}, function* () {});
    // @ts-expect-error: an iterator
    take(() => [1].values());
    // @ts-expect-error: an observable
    take(() => ({ subscribe: () => {} }));
    // @ts-expect-error: a query that is not executed
    take(() => ({ execute: () => Promise.resolve([]) }));
    // @ts-expect-error: a stream
    take(() => ({ pipe: () => {} }));
  });
});
