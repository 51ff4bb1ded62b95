/** The page of the studio at its edges: an empty store, a small screen, causes in a circle, two tabs. */
import { write, writeBatch } from "@messagedb/client";
import { studio } from "@messagedb/client/studio";
import type { Page } from "playwright-core";
import { afterAll, expect, test } from "vitest";
import { describeInBrowser } from "../_describe_in_browser.ts";
import { eventually } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { serveStudio, useStudio } from "./_browse.ts";
import { bankBalances, fillHistory, fillToday } from "./_story.ts";

const SMALL = { width: 320, height: 640 };

describeInBrowser("the page of the studio, at its edges", () => {
  const db = useDatabase();
  const empty = useDatabase();
  let servedEmpty: Awaited<ReturnType<typeof serveStudio>>;

  const served = useStudio(async () => {
    await fillHistory(db.sql, 200);
    await fillToday(db.sql);
    await writeBatch(db.sql, "circle-1", [named("circle-1", 1), named("circle-1", 0)]);
    await writeBatch(db.sql, "loop-1", [named("loop-1", 0)]);
    await writeBatch(db.sql, "later-1", [named("later-1", 1), { type: "Later" }]);
    await writeBatch(db.sql, "gone-1", [named("gone-2", 7)]);
    const options = { authorize: () => true, readOnly: false };
    servedEmpty = await serveStudio(studio(empty.sql, { authorize: () => true }));
    return studio(db.sql, { ...options, consumers: [bankBalances] });
  });
  const { open } = served;

  afterAll(async () => {
    await servedEmpty?.stop();
  });

  test.each([
    ["circle", "The first names as its cause a message that followed from it: circle-1."],
    ["loop", "The first names itself as its cause."],
    ["later", "The first names as its cause a message that was written later: later-1."],
    ["gone", "The first names a cause that the store does not have: gone-2."],
  ])("says what is so of a cause that is not before its effect: %s", async (name, sentence) => {
    const { page } = await open(`/trace/streams/${name}-1`);
    await page.getByRole("treeitem").first().waitFor();
    const said = (await page.locator(".sentence").textContent())!.replace(/\s+/g, " ");
    expect(said).toContain(sentence);
  });

  test("opens a dialog at its first field, and else at the dialog itself", async () => {
    const { page } = await open("/streams/account-1007");
    await page.getByRole("button", { name: "Write a message" }).click();
    expect(await focusedIn(page)).toBe("Type");
    await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    expect(await focusedIn(page)).toBe("Keys");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.goto(`${served.origin}/consumers/account%2Fbalances`);
    await page.getByRole("button", { name: "Rewind…" }).click();
    expect(await focusedIn(page)).toBe("a position");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Replay all…" }).click();
    expect(await focusedIn(page)).toBe("Replay parked messages");
  });

  test("says of an empty store that it has no messages yet", async () => {
    const { page } = await open("/categories", { origin: servedEmpty.origin });
    await page.getByText("The store has no messages yet.").waitFor();
    await page.goto(`${served.origin}/categories?text=no-such`);
    await page.getByText("No such category.").waitFor();
  });

  test("follows the theme that one chooses in another tab", async () => {
    const { page, context } = await open("/", { colorScheme: "light" });
    const other = await context.newPage();
    await other.goto(`${served.origin}/consumers`);
    const color = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await color();
    await other.getByLabel("Theme").selectOption("dark");
    await eventually(async () => expect(await color()).not.toBe(light));
    expect(await page.getByLabel("Theme").inputValue()).toBe("dark");
    await other.evaluate(() => localStorage.clear());
    await eventually(async () => expect(await color()).toBe(light));
  });

  test("says of which stream it shows what led to its messages", async () => {
    const { page } = await open("/trace/streams/later-1");
    await page.locator(".trail").getByRole("link", { name: "later-1" }).click();
    await page.waitForURL("**/streams/later-1");
    await page.goto(`${served.origin}/trace/streams/none-1`);
    await page.getByText("This stream has no messages.").waitFor();
  });

  test("fits a screen of 320 pixels, and says there which database it is", async () => {
    const { page } = await open("/", { viewport: SMALL, hasTouch: true });
    const { options: { database } } = db.sql;
    const about = page.locator("main .about");
    await about.filter({ hasText: database }).waitFor();
    expect(await about.textContent()).toContain("May write");
    for (const path of ["/", "/consumers", "/consumers/account%2Fbalances", "/categories"]) {
      await page.goto(served.origin + path);
      await page.locator("h1").waitFor();
      await page.waitForFunction(() => document.querySelector(".loading") === null);
      const wide = await page.evaluate(
        (width) =>
          [...document.querySelectorAll("main, main *")]
            .filter((it) => it.closest(".scroll-x") === null || it.matches(".scroll-x"))
            .filter((it) => it.closest(".filters *, .plot *, svg") === null)
            .filter((it) => it.getBoundingClientRect().right > width)
            .map((it) => `${it.tagName} ${it.className} ${it.getBoundingClientRect().right}`),
        SMALL.width,
      );
      const scrolled = await page.evaluate(() => document.querySelector("main")!.scrollWidth);
      expect([path, scrolled, wide]).toEqual([path, SMALL.width, []]);
    }
    await write(db.sql, "narrow-1", { type: "TransferredFromAnotherAccount" });
    for (const path of ["/streams/narrow-1", "/categories/account?tab=messages", "/all"]) {
      await page.goto(served.origin + path);
      await page.locator('[role="row"].body').first().waitFor();
      const tops = await page.locator('[role="row"].body').evaluateAll((rows) =>
        rows.map((row) => {
          const { top } = row.getBoundingClientRect();
          const lines = [...row.querySelectorAll(".phone-first, .phone-second")];
          return new Set(
            lines.map((it) => Math.round((it.getBoundingClientRect().top - top) / 10)),
          )
            .size;
        })
      );
      // Each row has two lines.
      expect([path, new Set(tops)]).toEqual([path, new Set([2])]);
    }
    await page.goto(`${served.origin}/all`);
    await page.getByLabel("Since a time").fill("blah");
    await page.getByLabel("Since a time").press("Enter");
    const { x, width } = (await page.getByRole("alert").boundingBox())!;
    expect([x >= 0, x + width <= SMALL.width]).toEqual([true, true]);
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.goto(served.origin);
    await page.locator("nav .about").waitFor();
    expect(await about.count()).toBe(0);
  });
});

/** A message that names a place as its cause. */
function named(causationMessageStreamName: string, causationMessagePosition: number) {
  const metadata = { causationMessageStreamName, causationMessagePosition };
  return { type: "Named", metadata };
}

/** The label of what has the focus; it is in a dialog. */
async function focusedIn(page: Page): Promise<string> {
  const focused = page.locator("dialog:focus, dialog :focus");
  await focused.waitFor();
  return await focused.evaluate((it) => {
    const { labels } = it as HTMLInputElement;
    const label = labels?.[0] ?? document.getElementById(it.getAttribute("aria-labelledby") ?? "");
    return (label?.textContent ?? it.textContent ?? "").trim();
  });
}
