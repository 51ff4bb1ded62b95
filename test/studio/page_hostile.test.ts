/** The page of the studio where the names themselves make trouble. */
import { drain, type Message, write, writeBatch } from "@messagedb/client";
import { studio } from "@messagedb/client/studio";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chromium } from "../_browser.ts";
import { describeSkipped } from "../_describe_skipped.ts";
import { useDatabase } from "../database.ts";
import { openStudioPage, serveStudio, startBrowser } from "./_browse.ts";

const title = "the page of the studio, where names make trouble";

/** Turns what follows around, and has a letter that nobody sees. */
const HIDING = "r\u202Eev\u200Bil";
const CATEGORY = `c${HIDING}`;
const STREAM = `${CATEGORY}-${HIDING}`;
const ATTACK = `evil", handle: () => fetch("http://evil") }); //${HIDING}\n`;

if (chromium === undefined) {
  describeSkipped(title, "Chromium is not installed");
} else {
  describe(title, () => {
    const db = useDatabase();
    let browser: Browser;
    let served: Awaited<ReturnType<typeof serveStudio>>;

    const parking = (consumerId: string, category = CATEGORY) => ({
      category,
      consumerId,
      handle: (_: Message) => "park" as const,
    });

    beforeAll(async () => {
      const message = { type: HIDING, data: { [HIDING]: { [HIDING]: [HIDING] } } };
      await writeBatch(db.sql, STREAM, [message, message]);
      await drain(db.sql, parking(HIDING));
      await drain(db.sql, parking(ATTACK));
      await write(db.sql, STREAM, message);
      served = await serveStudio(studio(db.sql, {
        authorize: () => true,
        readOnly: false,
        consumers: [parking(HIDING)],
      }));
      browser = await startBrowser();
    });

    afterAll(async () => {
      await browser?.close();
      await served?.stop();
    });

    const open = (path: string) => openStudioPage(browser, served.origin, path);
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
