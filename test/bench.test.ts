import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { pathOf } from "./_blocks.ts";
import { useDatabase } from "./database.ts";

const db = useDatabase();

test("bench:gateway compares each operation, by ones and by sixteens", async () => {
  const args = ["bench/gateway.ts", "--rounds", "2", "--count", "2", "--duration", "1"];
  const { stdout } = await promisify(execFile)(pathOf("node_modules/.bin/tsx"), args, {
    cwd: pathOf("."),
    env: { ...process.env, DATABASE_URL: db.url },
  });
  const rows = stdout.match(/^(write|read).* +(1|16) +[\d.,]+ +[\d.,]+ +\d+\.\d\d \(.*\)$/gm);
  expect(rows).toHaveLength(10);
});
