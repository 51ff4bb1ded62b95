import * as client from "@messagedb/client";
import { fetchSql } from "@messagedb/client/fetch";
import { gateway, type GatewayCall } from "@messagedb/client/gateway";
import { describe, expect, test } from "vitest";
import { operations } from "../_operations.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

/** What each operation is to `authorize`. */
const asked: Record<string, string> = {
  readMessage: "readMessages",
  read: "readAll",
  iterateStream: "readStream",
  iterateCategory: "readCategory",
  iterateAll: "readAll",
  iterateMatching: "readMatching",
};

describe("POST /sql runs the statements of", () => {
  for (const [title, operation] of Object.entries(operations)) {
    test(`${title}()`, async () => {
      const calls: GatewayCall[] = [];
      const handle = gateway(db.sql, {
        authorize: (_, call) => {
          calls.push(call);
          return true;
        },
      });
      const fetch = (url: string, init: RequestInit) => handle(new Request(url, init));
      await operation(fetchSql("http://gateway/sql", { fetch }));
      const name = title.split(" ")[0]!;
      expect(new Set(calls.map((call) => call.operation))).toEqual(new Set([asked[name] ?? name]));
      expect(calls.every((call) => call.writes === /^write|^sync/.test(name))).toBe(true);
    });
  }
});
