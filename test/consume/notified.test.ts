import assert from "node:assert/strict";
import { onTestFinished, test } from "vitest";
import { install } from "@messagedb/client/install";
import { consume, readLastMessage, write } from "../../mod.ts";
import { rewind } from "../../src/operate/mod.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { start } from "./_consuming.ts";

const db = useDatabase();

test("a consumer that notifications wake follows a position that an operator has set", async () => {
  await install(db.sql, { notify: true });
  const consumer = { category: "woken", consumerId: "letters" };
  let handled = 0;
  const running = start(db.sql, {
    ...consumer,
    notify: true,
    pollInterval: 1e9,
    handle: () => void handled++,
  });
  await write(db.sql, "woken-1", { type: "Written" });
  await until(() => handled === 1);
  const record = "woken:position-letters";
  await until(async () =>
    (await readLastMessage(db.sql, record))?.metadata?.["owner"] !== undefined
  );
  await rewind(db.sql, consumer, "beginning");
  await until(() => handled === 2);
  await running.stop();
});

test("a consumer that cannot listen gives its claim back", async () => {
  const role = `listener_${crypto.randomUUID().slice(0, 8)}`;
  await db.sql.unsafe(`create role ${role} login password 'secret' in role message_store`);
  onTestFinished(async () => void await db.sql`drop role ${db.sql(role)}`);
  const sql = db.connect({ username: role, password: "secret", max: 1 });
  await sql`select`;
  // Who listens needs a connection of its own.
  await db.sql`alter role ${db.sql(role)} nologin`;
  await write(db.sql, "refused-1", { type: "Written" });
  const consumer = { category: "refused", consumerId: "letters", notify: true, handle() {} };
  await assert.rejects(consume(sql, consumer), { code: "28000" });
  const record = await readLastMessage(db.sql, "refused:position-letters");
  assert.equal(record?.metadata?.["owner"], undefined);
});
