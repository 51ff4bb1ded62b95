/** The studio over partitions: what is there while one does not answer, and what is of one partition. */
import {
  drain,
  partitioned,
  partitionFor,
  partitions,
  readStream,
  type Sql,
  write,
  writeBatch,
} from "@messagedb/client";
import { install } from "@messagedb/client/install";
import postgres from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeInBrowser } from "../_describe_in_browser.ts";
import { freePort } from "../_free_port.ts";
import { startTcpProxy, type TcpProxy } from "../_proxy.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { type TestStudio, testStudio } from "./_ask.ts";
import { hide, seriousOf, useStudio } from "./_browse.ts";

const databases = [useDatabase(), useDatabase()] as const;
let proxy: TcpProxy;
let behind: postgres.Sql;
let sql: Sql;
/** Categories, of which each partition has one. */
let names: readonly string[];

beforeAll(async () => {
  for (const [number, { sql }] of databases.entries()) {
    await install(sql, { partition: { number, of: 2 } });
  }
  const [first, second] = databases;
  proxy = await startTcpProxy(second.url);
  // A second until it connects again: by itself it would be up to 20.
  behind = postgres(proxy.url, { fetch_types: false, onnotice: () => {}, backoff: () => 1 });
  sql = partitioned([first.sql, behind]);
  const numberOf = (name: string) => partitions(sql).indexOf(partitionFor(sql, name));
  const named = Array.from({ length: 20 }, (_, at) => `category${at}`);
  names = [0, 1].map((number) => named.find((name) => numberOf(name) === number)!);
  for (const name of names) await write(sql, `${name}-1`, { type: "A" });
  for (const each of partitions(sql)) {
    await drain(each, { category: "$all", consumerId: "everything", handle: () => {} });
  }
});

afterAll(async () => {
  await behind?.end({ timeout: 1 });
  await proxy?.close();
});

/** Does something while the second partition cannot be reached. */
async function whileAway(act: () => Promise<void>): Promise<void> {
  proxy.redirect(`postgres://127.0.0.1:${await freePort()}/`);
  try {
    await act();
  } finally {
    proxy.redirect(databases[1].url);
    await until(() => behind`select 1`.then(() => true, () => false));
  }
}

const SILENCE = "Partition 1 of 2 does not answer";

test("what the partitions have that answer is shown while another does not", async () => {
  const told: unknown[] = [];
  const asked = testStudio({ sql }, { onError: (error) => told.push(error) });
  const since = new Date(Date.now() - 600_000).toISOString();
  await whileAway(async () => {
    const { body: status } = await asked.ask("storeStatus");
    expect(status.stores.map((it: { number: number }) => it.number)).toEqual([0]);
    const { body: { consumers } } = await asked.ask("consumers");
    expect(consumers.map((it: { partition: number }) => it.partition)).toEqual([0]);
    const { body: findings } = await asked.ask("diagnose");
    expect(new Set(findings.map((it: { partition: number }) => it.partition)))
      .toEqual(new Set([0]));
    expect((await asked.ask("activity", { since })).status).toBe(200);
    const { body: pulse } = await asked.ask("pulse");
    expect(pulse).toMatchObject({ heads: [expect.any(Number), null], silence: SILENCE });
    // The log has why, once.
    expect(told.map(String)).toEqual([expect.stringMatching(/Cannot reach partition 1 of 2: /)]);
  });
  await until(async () => (await asked.ask("pulse")).body.silence === null);
  await until(async () => (await asked.ask("storeStatus")).body.stores.length === 2);
});

test("what is in the partition that does not answer says which partition that is", async () => {
  const asked = testStudio({ sql }, { onError: () => {} });
  await whileAway(async () => {
    await until(async () => (await asked.ask("pulse")).body.silence !== null);
    for (
      const [operation, given] of [
        ["streams", { category: names[1] }],
        ["readMessage", { id: crypto.randomUUID() }],
      ] as const
    ) {
      const { status, body } = await asked.ask(operation, given);
      expect([status, body.code]).toEqual([503, "PARTITION"]);
      expect(body.detail).toMatch(SILENCE);
    }
    expect((await asked.ask("streams", { category: names[0] })).status).toBe(200);
    const [first] = await readStream(sql, `${names[0]}-1`);
    expect((await asked.ask("readMessage", { id: first!.id })).body.id).toBe(first!.id);
    expect((await asked.ask("trace", { id: first!.id })).body.messages.length).toBe(1);
    expect((await asked.send(`/api/messages/${first!.id}`)).status).toBe(200);
  });
});

test("a partition that does not answer is not waited for again and again", async () => {
  // The driver waits longer and longer before it connects again.
  const away = postgres(`postgres://127.0.0.1:${await freePort()}/`, { max: 1 });
  const asked = testStudio({ sql: partitioned([databases[0].sql, away]) }, { onError: () => {} });
  for (let minutes = 1; minutes <= 20; minutes++) {
    const since = new Date(Date.now() - minutes * 60_000).toISOString();
    expect((await asked.ask("activity", { since, buckets: 2 })).status).toBe(200);
    expect((await asked.ask("streams", { category: names[1] })).status).toBe(503);
  }
  await away.end({ timeout: 1 });
});

test("a store none of whose partitions answers says so", async () => {
  const port = await freePort();
  const handles = [0, 1].map(() => postgres(`postgres://127.0.0.1:${port}/`, { max: 1 }));
  const asked = testStudio({ sql: partitioned(handles) }, { onError: () => {} });
  const { status, body } = await asked.ask("storeStatus");
  expect([status, body.detail]).toEqual([
    503,
    "Partitions 0 and 1 of 2 do not answer: what is there is not shown: try again later",
  ]);
  for (const handle of handles) await handle.end({ timeout: 1 });
});

/** A consumer of all messages, which each partition has by itself. */
const everything = { category: "$all", consumerId: "everything" };

test("a consumer of all messages is changed in the partition that is named", async () => {
  const handled: string[] = [];
  const handle = ({ streamName }: { readonly streamName: string }) => void handled.push(streamName);
  const asked = testStudio({ sql }, { readOnly: false, consumers: [{ ...everything, handle }] });
  const positions = async () => {
    const { body } = await asked.ask("consumers");
    return body.consumers.map((it: { position: number }) => it.position);
  };
  const ends = await positions();
  const given = { consumer: everything, partition: 1 };
  const { body: plan } = await asked.ask("planRewind", { ...given, position: "beginning" });
  expect(plan.members).toMatchObject([{ again: 1 }]);
  await asked.ask("rewind", { ...given, position: "beginning" });
  const { body: next } = await asked.ask("nextMessage", given);
  expect(next.streamName).toBe(`${names[1]}-1`);
  expect((await asked.ask("park", { ...given, id: next.id, reason: "later" })).status).toBe(200);
  const { body: parked } = await asked.ask("parked", given);
  expect(parked).toMatchObject([{ message: { id: next.id } }]);
  expect((await asked.ask("parked", { ...given, partition: 0 })).body).toEqual([]);
  expect((await asked.ask("replayParked", given)).body).toMatchObject({ replayed: 1 });
  expect(handled).toEqual([`${names[1]}-1`]);
  await until(async () => (await positions())[1] === ends[1]);
  expect((await positions())[0]).toBe(ends[0]);
  for (const [partition, words] of [[2, '"partition"'], [undefined, "with all partitions"]]) {
    const { status, body } = await asked.ask("nextMessage", { consumer: everything, partition });
    expect([status, body.detail]).toEqual([422, expect.stringContaining(String(words))]);
  }
});

describeInBrowser("the page of the studio, over partitions", () => {
  let shown: TestStudio;

  const served = useStudio(() => {
    shown = testStudio({ sql }, { readOnly: false, onError: () => {} });
    return shown.handle;
  });
  const { open } = served;

  test("names the partition that does not answer, and shows the others", async () => {
    await whileAway(async () => {
      const { page } = await open("/");
      await page.getByText(SILENCE).waitFor();
      await page.getByText("Messages over time").waitFor();
      await page.getByRole("link", { name: names[0]!, exact: true }).waitFor();
      await page.getByRole("link", { name: "everything" }).waitFor();
      expect(await page.locator(".failed").count()).toBe(0);
      await page.getByRole("navigation").getByRole("link", { name: "Categories" }).click();
      await page.getByRole("row").filter({ hasText: names[0]! }).waitFor();
      await page.getByText(SILENCE).waitFor();
    });
    const { page } = await open("/");
    await page.getByRole("link", { name: names[1]!, exact: true }).waitFor();
    await page.getByText(SILENCE).waitFor({ state: "detached" });
  });

  test("tells the consumers of all messages apart", async () => {
    const { page } = await open("/consumers");
    const rows = page.getByRole("row").filter({ hasText: "everything" });
    await rows.filter({ hasText: "partition 0" }).waitFor();
    await rows.filter({ hasText: "partition 1" }).getByRole("link").click();
    await page.getByRole("heading", { name: /partition 1/ }).waitFor();
    expect(new URL(page.url()).searchParams.get("partition")).toBe("1");
    expect(await page.getByRole("region", { name: "Members" }).getByRole("row").count()).toBe(2);
    await page.getByRole("button", { name: "Rewind…" }).click();
    await page.getByRole("radio", { name: "the beginning" }).check();
    await page.getByText("1 message handled again").waitFor();
    await page.getByRole("button", { name: "Rewind it" }).click();
    await page.getByText("The consumer goes on at").waitFor();
    await page.getByRole("link", { name: "A", exact: true }).waitFor();
    await page.goto(`${served.origin}/`);
    await page.getByRole("row").filter({ hasText: "partition 1" })
      .filter({ hasText: "1 message behind" }).waitFor();
  });

  test("looks for a text in a category, and offers no place among all messages", async () => {
    const { page } = await open("/", { bypassCSP: true });
    const search = page.getByRole("combobox").first();
    await page.getByRole("row").filter({ hasText: names[0]! }).first().waitFor();
    await search.fill("123");
    await page.getByRole("option", { name: "Text in a category" }).waitFor();
    expect(await page.locator("#search-targets").getByRole("option").count()).toBe(1);
    await search.press("Enter");
    await page.waitForURL("**/all?text=123");
    const category = page.getByRole("link", { name: names[0]!, exact: true });
    await category.waitFor();
    expect(await seriousOf(page)).toEqual([]);
    await category.click();
    await page.waitForURL(`**/categories/${names[0]}?tab=messages&text=123`);
    await page.getByText("No message fits the filters.").waitFor();
  });

  test("shows a category that is in two partitions twice, with the partition", async () => {
    await write(databases[0].sql, `${names[1]}-2`, { type: "Misplaced" });
    const { page } = await open("/");
    for (const path of ["/", "/categories"]) {
      await page.goto(served.origin + path);
      const rows = page.getByRole("row").filter({ hasText: names[1]! });
      for (const number of [0, 1]) {
        await rows.filter({ hasText: `partition ${number}` }).waitFor();
      }
      expect(await rows.count()).toBe(2);
    }
    expect(await page.locator("[aria-selected=true]").count()).toBeLessThanOrEqual(1);
  });

  test("goes on where one reads after much was written in the partition of the list", async () => {
    const many = (type: string) => Array.from({ length: 700 }, () => ({ type }));
    // The positions of the partitions together are far beyond those of one.
    await writeBatch(sql, `${names[0]}-many`, many("Other"));
    await until(async () => (await shown.ask("pulse")).body.heads[0] >= 700);
    await write(sql, `${names[1]}-1`, { type: "Hail", data: "Before" });
    const { page } = await open(`/categories/${names[1]}?tab=messages&type=Hail`);
    await page.getByRole("row").filter({ hasText: "Before" }).waitFor();
    await page.locator(".beat").filter({ hasText: "Live" }).waitFor();
    await hide(page, true);
    await writeBatch(sql, `${names[1]}-1`, many("Hail"));
    await hide(page, false);
    await page.getByRole("button", { name: "Jump to the latest" }).waitFor();
    await page.getByRole("row").filter({ hasText: "Before" }).waitFor();
  });
});
