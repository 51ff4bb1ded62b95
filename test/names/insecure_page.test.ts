import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { afterEach, beforeEach, test, vi } from "vitest";
import { drain, idFrom, type Message, readStream, write } from "../../mod.ts";
import { sha256 } from "../../src/lib/sha256.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

// What browsers leave of `crypto` on a page that was loaded over plain HTTP.
beforeEach(() => {
  const { getRandomValues } = crypto;
  vi.stubGlobal("crypto", { getRandomValues: getRandomValues.bind(crypto) });
});
afterEach(() => vi.unstubAllGlobals());

const version = (digit: string) =>
  new RegExp(`^[0-9a-f]{8}-[0-9a-f]{4}-${digit}[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`);

test("write() makes ids where crypto has no randomUUID, and a group's member its lease", async () => {
  for (let at = 0; at < 100; at++) await write(db.sql, "account-1", { type: "Written" });
  const messages = await readStream(db.sql, "account-1");
  for (const { id } of messages) assert.match(id, version("7"));
  assert.equal(new Set(messages.map(({ id }) => id)).size, 100);
  const consumer = { category: "account", consumerId: "group", consumerGroup: { size: 1 } };
  const { handled } = await drain(db.sql, { ...consumer, handle() {} });
  assert.equal(handled, 100);
  const [position] = await readStream(db.sql, "account:position-group+0+1");
  assert.match(String(position!.metadata!["owner"]), version("4"));
});

test("idFrom() gives the same ids where crypto has no subtle, and a message is parked", async () => {
  assert.equal(await idFrom("a"), await idFrom("a"));
  const ids = await Promise.all(["a", "ä€😀", "x".repeat(1000)].map(idFrom));
  vi.unstubAllGlobals();
  assert.deepEqual(await Promise.all(["a", "ä€😀", "x".repeat(1000)].map(idFrom)), ids);
});

test("a message is parked where crypto has no subtle", async () => {
  await write(db.sql, "letter-1", { type: "Sent" });
  await drain(db.sql, { category: "letter", consumerId: "it", handle: () => "park" as const });
  const seen: Message[] = await readStream(db.sql, "letter:parked-it");
  assert.match(seen[0]!.id, version("8"));
});

test("the SHA-256 is that of Node, whatever the length", async () => {
  for (let length = 0; length < 300; length++) {
    const bytes = Uint8Array.from({ length }, (_, at) => (at * 167 + length * 31) & 255);
    const digest = createHash("sha256").update(bytes).digest();
    assert.deepEqual([...await sha256(bytes)], [...digest]);
  }
});
