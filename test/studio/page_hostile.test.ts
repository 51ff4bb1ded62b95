/** The page of the studio where the names themselves make trouble. */
import { drain, type Message, write, writeBatch } from "@messagedb/client";
import { studio } from "@messagedb/client/studio";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { describeInBrowser } from "../_describe_in_browser.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { sentBy, seriousOf, useStudio } from "./_browse.ts";

/** Turns what follows around, and has a letter that nobody sees. */
const HIDING = "r\u202Eev\u200Bil";
const CATEGORY = `c${HIDING}`;
const STREAM = `${CATEGORY}-${HIDING}`;
const ATTACK = `evil", handle: () => fetch("http://evil") }); //${HIDING}\n`;

/** What is nearly nothing, and what a browser takes out of a path. */
const ODD_CATEGORIES: readonly string[] = ["", " ", ".", "..", "~", "~..", "spaced"];
/** A stream, and no message. */
const UUID = "00000000-0000-4000-8000-000000000001";

describeInBrowser("the page of the studio, where names make trouble", () => {
  const db = useDatabase();

  const parking = (consumerId: string, category = CATEGORY) => ({
    category,
    consumerId,
    handle: (_: Message) => "park" as const,
  });

  const served = useStudio(async () => {
    const message = { type: HIDING, data: { [HIDING]: { [HIDING]: [HIDING] } } };
    await writeBatch(db.sql, STREAM, [message, message]);
    await drain(db.sql, parking(HIDING));
    await drain(db.sql, parking(ATTACK));
    await write(db.sql, STREAM, message);
    for (const name of ODD_CATEGORIES) {
      await db.sql`
          insert into message_store.messages (id, stream_name, type, position, data)
          values (gen_random_uuid(), ${`${name}-1`}, '', 0, '{}')`;
    }
    await drain(db.sql, parking(" ", "spaced"));
    await write(db.sql, UUID, { type: "OfUuid" });
    return studio(db.sql, {
      authorize: () => true,
      readOnly: false,
      consumers: [parking(HIDING)],
    });
  });
  const { open } = served;
  const consumerPath = (consumerId: string) =>
    `/consumers/${encodeURIComponent(`${CATEGORY}/${consumerId}`)}`;

  test("puts no name into code as anything but a text", async () => {
    const { page } = await open(consumerPath(ATTACK));
    const code = await page.locator("pre").textContent();
    expect(code).not.toMatch(/[\u202e\u200b]/);
    const given: unknown[] = [];
    const body = code!.replace(/^import .*$/m, "");
    const run = new Function("replayParked", "sql", "handle", `return (async () => {${body}})()`);
    await run((...all: unknown[]) => given.push(...all), "sql", "handle");
    expect(given).toEqual([
      "sql",
      { category: CATEGORY, consumerId: ATTACK, handle: "handle" },
    ]);
  });

  test("shows what a name hides, in each text, label and title", async () => {
    const { page, trouble } = await open("/");
    const stream = encodeURIComponent(STREAM);
    const category = encodeURIComponent(CATEGORY);
    for (
      const path of [
        "/",
        "/all",
        "/all?position=1",
        "/categories",
        `/categories/${category}`,
        `/categories/${category}?tab=messages`,
        `/categories/${category}?tab=types`,
        `/streams/${stream}`,
        `/entities/${stream}`,
        `/trace/streams/${stream}`,
        `/trace/${stream}`,
        "/consumers",
        consumerPath(HIDING),
        consumerPath(ATTACK),
        consumerPath(`${HIDING}-unknown`),
        `/messages/${stream}`,
        `/${stream}/${stream}`,
      ]
    ) {
      await page.goto(served.origin + path);
      await page.locator("h1").waitFor();
      await page.waitForFunction(() => document.querySelector(".loading") === null);
      expect(await hiddenIn(page), path).toEqual([]);
    }
    expect(trouble.filter((it) => !it.includes("422"))).toEqual([]);
  });

  test.each([
    [`/streams/${encodeURIComponent(STREAM)}`, ["Write a message"]],
    [consumerPath(HIDING), ["Rewind…", "Park…", "Skip…", "Replay all…", "Discard 2…"]],
  ])("shows what a name hides, in each dialog: %s", async (path, dialogs) => {
    const { page } = await open(path);
    await page.getByRole("button", { name: dialogs[0]! }).waitFor();
    if (dialogs.length > 1) await page.getByRole("checkbox", { name: "All shown" }).check();
    for (const name of dialogs) {
      const wanted = name.replace("all", "2");
      await page.getByRole("button", { name: wanted }).click();
      const dialog = page.getByRole("dialog");
      await dialog.locator(".mark").first().waitFor();
      expect(await hiddenIn(page), name).toEqual([]);
      await dialog.getByRole("button", { name: "Cancel" }).click();
      await dialog.waitFor({ state: "detached" });
    }
  });

  test("names what is nearly nothing: each link has a name, each type and title, too", async () => {
    const { page } = await open("/categories", {
      bypassCSP: true,
    });
    await page.getByRole("link", { name: "(empty)" }).waitFor();
    await page.getByRole("link", { name: "SP", exact: true }).waitFor();
    expect(await seriousOf(page)).toEqual([]);
    await page.goto(`${served.origin}/consumers`);
    await page.getByRole("link", { name: "SP", exact: true }).waitFor();
    expect(await seriousOf(page)).toEqual([]);
    await page.goto(`${served.origin}/streams/${encodeURIComponent(" -1")}`);
    await page.getByRole("row").nth(1).click();
    await page.locator("h2").filter({ hasText: "(empty)" }).waitFor();
    expect(await seriousOf(page)).toEqual([]);
    await page.goto(`${served.origin}/categories`);
    await page.getByRole("link", { name: "(empty)" }).click();
    await page.getByRole("heading", { name: "(empty)" }).waitFor();
    expect(await page.title()).toMatch(/^\(empty\) · categories/);
  });

  test.each(ODD_CATEGORIES)("leads to the category %j, and loads it again", async (category) => {
    const { page } = await open("/categories");
    const ofCategory = page.getByRole("row").filter({
      has: page.locator(`a[href="/categories/${pathOf(category)}"]`),
    });
    await ofCategory.getByRole("link").click();
    const tab = page.getByRole("link", { name: "Messages", exact: true });
    const asked = page.waitForRequest("**/api/findMessages");
    await tab.click();
    await asked;
    const shown = category === "" ? "(empty)" : category === " " ? "SP" : category;
    const { sent } = sentBy(page, "findMessages");
    await page.reload();
    await page.getByRole("heading", { name: shown, exact: true, level: 1 }).waitFor();
    await until(() => sent.length > 0);
    expect(sent).toMatchObject([{ source: category }]);
  });

  test("traces a stream whose name is a UUID", async () => {
    const { page } = await open(`/streams/${UUID}`);
    await page.getByRole("link", { name: "Cause and effect" }).click();
    await page.getByRole("treeitem").filter({ hasText: "OfUuid" }).waitFor();
    await page.goto(`${served.origin}/trace/${UUID}`);
    await page.getByText("The store has no such message").waitFor();
  });

  test("shows what a name hides, in the search and in what the server refuses", async () => {
    const { page } = await open("/");
    await page.getByRole("combobox", { name: "Go to" }).fill(STREAM);
    await page.getByRole("option", { name: "Stream" }).waitFor();
    expect(await hiddenIn(page)).toEqual([]);
    await page.route("**/api/messageTypes", (route) =>
      route.fulfill({
        status: 422,
        contentType: "application/problem+json",
        body: JSON.stringify({ title: HIDING, detail: `Cannot read "${HIDING}"` }),
      }));
    await page.goto(`${served.origin}/categories/${encodeURIComponent(CATEGORY)}?tab=types`);
    await page.getByRole("alert").waitFor();
    expect(await hiddenIn(page)).toEqual([]);
  });
});

/** How the path of a category ends. */
function pathOf(category: string): string {
  return encodeURIComponent(/^~*\.{0,2}$/.test(category) ? `~${category}` : category);
}

/** Texts, labels and titles of a page that have what nobody sees, as it is. */
function hiddenIn(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const texts = [document.title];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_ALL);
    for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
      if (node instanceof Text) texts.push(node.data);
      if (!(node instanceof Element)) continue;
      for (const name of ["aria-label", "title", "alt", "placeholder", "aria-description"]) {
        texts.push(node.getAttribute(name) ?? "");
      }
    }
    return texts.filter((it) => /[\u202e\u200b]/.test(it)).map((it) => JSON.stringify(it));
  });
}
