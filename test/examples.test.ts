import { writeBatch } from "@messagedb/client";
import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { pathOf } from "./_blocks.ts";
import { startWorker } from "./_worker.ts";
import { useDatabase } from "./database.ts";

const db = useDatabase();
const tsx = pathOf("node_modules/.bin/tsx");
const bun = pathOf("test/node_modules/.bin/bun");
const deno = pathOf("test/node_modules/.bin/deno");

/** Runs a program in `examples`, and answers what it printed. */
async function run(command: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, {
    cwd: pathOf("examples"),
    env: { ...process.env, DATABASE_URL: db.url },
  });
  return stdout;
}

describe.each([
  ["Node", tsx],
  ["Deno", deno, "run", "--quiet", "--allow-all"],
  ["Bun", bun],
])("earthquakes.ts on %s", (_, command, ...args) => {
  test(
    "writes a week of earthquakes once, and reads what it wrote",
    { timeout: 120_000 },
    async () => {
      const output = await run(command, ...args, "earthquakes.ts");
      expect(output).toMatch(/Started .* PostgreSQL with Message DB 1\.3\.0/);
      expect(output).toContain("1,707 events to 12 streams");
      expect(output).toContain("617 + 1,090 events by a consumer group of two");
      expect(output).toMatch(/6\.4 {2}22km NNE of Hualian, Taiwan .* earthquake-us/);
      expect(output).toMatch(/Southern California +386 /);
      expect(output).toContain("the same 1,707 events, and the store still has 1,707");
      expect(output, "what is piped is plain").not.toContain("\x1b");
    },
  );
});

test("node.ts withdraws no more than there is", async () => {
  expect(await run(tsx, "node.ts")).toBe("3 of 8 could withdraw 10 of 30\n");
});

test("deno.ts counts what the store holds", async () => {
  await writeBatch(db.sql, "parcel-1", [{ type: "Sent" }, { type: "Delivered" }]);
  await writeBatch(db.sql, "parcel-2", [{ type: "Sent" }]);
  const output = await run(deno, "run", "--quiet", "--allow-env", "--allow-net", "deno.ts");
  expect(output).toContain("parcel: 2 streams, 3 messages\n");
});

test("bun.ts goes on where it was", async () => {
  const messages = [{ type: "Ordered" }, { type: "Paid" }];
  await writeBatch(db.sql, "order-1", messages);
  expect(await run(bun, "bun.ts", "order")).toMatch(/^2 messages of order/);
  expect(await run(bun, "bun.ts", "order")).toMatch(/^0 messages of order/);
  await writeBatch(db.sql, "order-2", messages.slice(0, 1));
  expect(await run(bun, "bun.ts", "order")).toMatch(/^1 messages of order/);
});

test("worker.ts signs the guest book once for one idempotency key", async () => {
  const worker = await startWorker(pathOf("examples/worker.ts"), db.url);
  try {
    const sign = async (body: string, id: string) => {
      const headers = { "idempotency-key": id };
      const response = await worker.dispatchFetch("http://worker/", {
        method: "POST",
        body,
        headers,
      });
      return await response.json();
    };
    expect(await sign("Ada", "5d3f8c0e-3c1b-4c55-9a6e-0a8b7f1f2d11")).toEqual({ position: 0 });
    expect(await sign("Grace", "0b1d6f3e-8a4c-4f6b-b1a7-5c2e9d8f7a61")).toEqual({ position: 1 });
    expect(await sign("Ada", "5d3f8c0e-3c1b-4c55-9a6e-0a8b7f1f2d11")).toEqual({ position: 0 });
    const response = await worker.dispatchFetch("http://worker/");
    expect(await response.json()).toEqual(["Grace", "Ada"]);
  } finally {
    await worker.dispose();
  }
});
