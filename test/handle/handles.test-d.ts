/// <reference types="bun" />
import type { SQL as BunSql } from "bun";
import { PGlite } from "@electric-sql/pglite";
import { neon } from "@neondatabase/serverless";
import pg from "pg";
import postgres from "postgres";
import { describe, expectTypeOf, test } from "vitest";
import {
  aggregate,
  type AggregatedMessage,
  append,
  fromQuery,
  type Message,
  type MessageDbErrorCode,
  readAggregate,
  readStream,
  type Sql,
  subscribe,
  synchronize,
  write,
  type WrongExpectedVersionError,
} from "../../mod.ts";

describe("a handle without a cast", () => {
  const sql = postgres();

  test("is postgres.js's sql, transaction, savepoint and reserved connection", () => {
    expectTypeOf(sql).toExtend<Sql>();
    expectTypeOf<postgres.TransactionSql>().toExtend<Sql>();
    expectTypeOf<postgres.ReservedSql>().toExtend<Sql>();
    write(sql, "account-1", { type: "Opened" });
    sql.begin((transaction) => write(transaction, "account-1", { type: "Opened" }));
    sql.begin((transaction) =>
      transaction.savepoint((inner) => write(inner, "account-1", { type: "Opened" }))
    );
    sql.reserve().then((reserved) => write(reserved, "account-1", { type: "Opened" }));
  });

  test("is postgres.js's sql with types and transforms of one's own", () => {
    const own = postgres({
      types: { bigint: postgres.BigInt },
      transform: postgres.camel,
    });
    expectTypeOf(own).toExtend<Sql>();
    write(own, "account-1", { type: "Opened" });
  });

  test("is Bun's SQL and its transaction", () => {
    expectTypeOf<BunSql>().toExtend<Sql>();
    const bun = {} as BunSql;
    write(bun, "account-1", { type: "Opened" });
    bun.begin((transaction) => write(transaction, "account-1", { type: "Opened" }));
  });

  test("is what neon() makes, however it is told to answer", () => {
    expectTypeOf(neon("postgres://localhost/db")).toExtend<Sql>();
    write(neon("postgres://localhost/db"), "account-1", { type: "Opened" });
    write(neon("postgres://localhost/db", { fullResults: true }), "account-1", {
      type: "Opened",
    });
    write(neon("postgres://localhost/db", { arrayMode: true }), "account-1", {
      type: "Opened",
    });
  });

  test("is PGlite's sql and its transaction's", () => {
    const db = new PGlite();
    const bound = db.sql.bind(db);
    expectTypeOf(bound).toExtend<Sql>();
    write(bound, "account-1", { type: "Opened" });
    db.transaction((transaction) => write(transaction.sql, "account-1", { type: "Opened" }));
  });

  test("is what fromQuery() makes of pg", () => {
    const pool = new pg.Pool();
    expectTypeOf(fromQuery((text, parameters) => pool.query(text, parameters)))
      .toEqualTypeOf<
        Sql
      >();
    fromQuery((text, parameters) => sql.unsafe(text, parameters));
  });

  test("is not anything else", () => {
    // @ts-expect-error: a pool is no tagged-template function
    write(new pg.Pool(), "account-1", { type: "Opened" });
    // @ts-expect-error: this answers no rows
    fromQuery(() => Promise.resolve(5));
  });
});

describe("the operations", () => {
  const sql = {} as Sql;

  test("answer data as what the caller says it is, unknown otherwise", () => {
    expectTypeOf(readStream(sql, "a-1")).resolves.toEqualTypeOf<
      Message<unknown>[]
    >();
    expectTypeOf(readStream<{ amount: number }>(sql, "a-1")).resolves
      .toEqualTypeOf<
        Message<{ amount: number }>[]
      >();
  });

  test("answer messages of an aggregate with their references", () => {
    expectTypeOf(subscribe(sql, { aggregate: "a" })).toEqualTypeOf<
      AsyncGenerator<AggregatedMessage<unknown>, void, undefined>
    >();
    expectTypeOf(subscribe<number>(sql, { aggregate: "a" })).toEqualTypeOf<
      AsyncGenerator<AggregatedMessage<number>, void, undefined>
    >();
    expectTypeOf(subscribe<number>(sql, "a")).toEqualTypeOf<
      AsyncGenerator<Message<number>, void, undefined>
    >();
    expectTypeOf(readAggregate<number>(sql, "a")).resolves.toEqualTypeOf<
      AggregatedMessage<number>[]
    >();
    expectTypeOf<AggregatedMessage<number>>().toExtend<Message<number>>();
    // @ts-expect-error: an aggregate has a partition for each message
    aggregate(sql, { name: "a", from: ["b"] });
  });

  test("refuse what they would refuse at run time", () => {
    // @ts-expect-error: a message has a type
    write(sql, "a-1", { data: 1 });
    // @ts-expect-error: what is appended has types, too
    append(sql, "a-1", [{ data: 1 }]);
    // @ts-expect-error: a direction is one of two
    readStream(sql, "a-1", { direction: "sideways" });
    // @ts-expect-error: synchronize() tells messages by their ids
    synchronize(sql, "a-1", [{ type: "Opened" }]);
  });

  test("take what was read as what is to be written", () => {
    const message = {} as Message;
    write(sql, "a-1", message);
    append(sql, "a-1", message);
    append(sql, "a-1", [message] as readonly Message[]);
    synchronize(sql, "a-1", [message]);
  });
});

test("an error's code tells its class", () => {
  const error = {} as WrongExpectedVersionError;
  expectTypeOf(error.code).toEqualTypeOf<"WRONG_EXPECTED_VERSION">();
  expectTypeOf(error.code).toExtend<MessageDbErrorCode>();
});
