/// <reference types="bun" />
import type { SQL as BunSql, TransactionSQL as BunTransactionSql } from "bun";
import postgres from "postgres";
import { describe, expectTypeOf, test } from "vitest";
import {
  consume,
  type Consumer,
  drain,
  type Drained,
  type HandlerContext,
  type Message,
  type Sql,
  type TransactionOf,
} from "../../mod.ts";

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

  test("has handlers that answer a verdict, or what is no text", () => {
    consume(sql, { ...names, handle: (_, { sql }) => sql`select 1` });
    consume(sql, { ...names, handle: async (_, { sql }) => await sql`select 1` });
    consume(sql, { ...names, handle: (message) => new Map().set(message.id, message) });
    consume(sql, { ...names, handle: () => "park" });
    consume(sql, { ...names, handle: async () => await Promise.resolve("skip" as const) });
    // @ts-expect-error: this is no verdict
    consume(sql, { ...names, handle: () => "parked" });
  });

  test("is refused where it would be at run time", () => {
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
