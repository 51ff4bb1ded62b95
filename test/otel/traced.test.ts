import * as client from "@messagedb/client";
import { traced } from "@messagedb/client/otel";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { useDatabase } from "../database.ts";
import { startSdk, treeOf } from "./_sdk.ts";

const db = useDatabase();
const sdk = startSdk();
const message = { type: "Opened", data: { secret: "a value" } };
let sql: typeof db.sql;

beforeAll(() => {
  sql = traced(db.sql, { tracer: sdk.tracer, meter: sdk.meter });
});
beforeEach(() => sdk.reset());

describe("spans", () => {
  test("of a write are its sending and its statement", async () => {
    await client.write(sql, "account-1", message);
    expect(treeOf(sdk.spans()).sort()).toEqual([
      "PRODUCER send account",
      "PRODUCER send account > CLIENT SELECT write_message",
    ]);
  });
});
