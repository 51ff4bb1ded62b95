import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";
import { beforeAll, expect, test } from "vitest";
import type { BacklogArguments, Heap } from "./_backlog_program.ts";
import { pathOf } from "../_path_of.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const count = 200_000;

/** Bytes. A page, a thousand of these messages, is more than half a megabyte, and there are 100 a half. */
const margin = 3 * 2 ** 20;

beforeAll(async () => {
  await db.sql`
    insert into message_store.messages (stream_name, position, type, data)
    select 'account-' || number % 100, number / 100, 'Deposited',
      jsonb_build_object('amount', number, 'note', repeat('x', 200))
    from generate_series(0, ${count - 1}::int) as number`;
  await db.sql`vacuum analyze message_store.messages`;
});

test.each<BacklogArguments["how"]>([
  "drain",
  "drain side by side",
  "subscribe to a category",
  "subscribe to all",
])("a backlog of 200,000 messages leaves the memory as it was: %s", async (how) => {
  const argument: BacklogArguments = { url: db.url, how, count };
  const { stdout } = await promisify(execFile)(process.execPath, [
    "--expose-gc",
    "--max-old-space-size=64",
    "--import",
    "tsx",
    pathOf("test/consume/_backlog_program.ts"),
    JSON.stringify(argument),
  ], { cwd: pathOf(".") });
  const { taken, samples }: Heap = JSON.parse(stdout);
  expect(taken).toBeGreaterThanOrEqual(count);
  const first = samples.slice(0, 10);
  const second = samples.slice(10, 20);
  expect(second).toHaveLength(10);
  expect(Math.max(...second)).toBeLessThan(Math.max(...first) + margin);
});
