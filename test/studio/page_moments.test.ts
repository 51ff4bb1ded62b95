/** The page of the studio, where something comes, or does not come yet, just as somebody does something. */
import { drain, write, writeBatch } from "@messagedb/client";
import { studio } from "@messagedb/client/studio";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { describeInBrowser } from "../_describe_in_browser.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { hold, useStudio } from "./_browse.ts";

describeInBrowser("the page of the studio, as something comes", () => {
  const db = useDatabase();

  const served = useStudio(async () => {
    await write(db.sql, "passed-1", { type: "Came" });
    await drain(db.sql, reader);
    await write(db.sql, "passed-1", { type: "Agreed" });
    return studio(db.sql, { authorize: () => true, readOnly: false });
  });
  const { open } = served;

  test("shows the later of two answers, though the earlier one comes last", async () => {
    const { page } = await open("/categories");
    await page.clock.install();
    let asked = 0;
    let release = () => {};
    const released = new Promise<void>((resolve) => release = resolve);
    await page.route("**/api/consumers", async (route) => {
      const turn = ++asked;
      const answer = await (await route.fetch()).json();
      for (const it of answer.consumers) it.position = 1000 + turn;
      if (turn === 1) await released;
      await route.fulfill({ json: answer });
    });
    await page.goto(`${served.origin}/consumers`);
    await until(() => asked === 1);
    await until(async () => {
      await page.clock.runFor(1000);
      return asked === 2;
    });
    const later = page.getByText("1,002").first();
    await later.waitFor();
    const came = page.waitForEvent("requestfinished", (it) => it.url().endsWith("/consumers"));
    release();
    await came;
    expect(await page.getByText("1,001").count()).toBe(0);
    await later.waitFor();
  });

  test("comes back to where one was in a list that one left before it had come", async () => {
    await writeBatch(db.sql, "left-1", many("Left", 300));
    const { page } = await open("/streams/left-1");
    await rowOf(page, "Left299").waitFor();
    const leftAt = () => page.evaluate(() => history.state?.leftAt);
    await page.locator(".rows").evaluate((it) => it.scrollTop = 50 * 28);
    await until(async () => await leftAt() === 249);
    const release = await hold(page, "findMessages");
    const live = page.getByRole("button", { name: "Live" });
    // Whoever waits too long loads the page again, or goes elsewhere.
    await page.reload();
    await live.waitFor();
    await page.reload();
    await live.waitFor();
    await page.getByRole("link", { name: "Consumers" }).click();
    await page.getByRole("heading", { name: "Consumers" }).waitFor();
    await page.goBack();
    await live.waitFor();
    release();
    await rowOf(page, /Left2\d\d/).first().waitFor();
    expect(await rowOf(page, "Left249").count()).toBe(1);
    expect(await rowOf(page, "Left299").count()).toBe(0);
  });

  test("comes back to where one was in a list in which one has jumped to the latest", async () => {
    await writeBatch(db.sql, "leapt-1", many("Leapt", 300));
    const { page } = await open("/streams/leapt-1?position=100");
    await page.getByRole("button", { name: "Jump to the latest" }).click();
    await rowOf(page, "Leapt299").waitFor();
    await page.locator(".rows").evaluate((it) => it.scrollTop = 50 * 28);
    await until(async () => await page.evaluate(() => history.state?.leftAt) === 249);
    await page.getByLabel("Types, with a comma between").fill("Leapt7");
    await page.keyboard.press("Enter");
    await rowOf(page, "Leapt299").waitFor({ state: "detached" });
    await page.goBack();
    await rowOf(page, /Leapt2\d\d/).first().waitFor();
    expect(await rowOf(page, "Leapt249").count()).toBe(1);
    expect(await rowOf(page, "Leapt299").count()).toBe(0);
  });

  test("goes to the state that one chooses just as the URL gets the one before", async () => {
    await writeBatch(db.sql, "stepped-1", many("Stepped", 5));
    const { page } = await open("/");
    await page.addInitScript(() => {
      const real = setTimeout;
      const pressed = { key: "ArrowRight", bubbles: true, cancelable: true };
      const press = () => document.body.dispatchEvent(new KeyboardEvent("keydown", pressed));
      let isPressed = false;
      const late = (act: () => void, time?: number) =>
        real(() => {
          act();
          if (isPressed || time !== 300 || !document.body.textContent?.includes("1 of 4")) return;
          isPressed = true;
          // When the page has drawn what the timer has set, and before the browser has painted that.
          queueMicrotask(press);
        }, time);
      globalThis.setTimeout = Object.assign(late, real) as typeof setTimeout;
    });
    await page.goto(`${served.origin}/entities/stepped-1`);
    await page.getByText("State after position 4").waitFor();
    await page.getByRole("slider", { name: "Position" }).fill("1");
    await page.waitForURL(/position=2$/);
    await page.getByText("State after position 2").waitFor();
  });

  test("keeps the dialog of the message to skip, and what one types, though none waits any more", async () => {
    const { page } = await open("/consumers/passed%3Aposition-reader");
    await page.getByRole("button", { name: "Skip…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Agreed").waitFor();
    await page.keyboard.type("not ");
    await drain(db.sql, reader);
    await page.getByText("None waits").waitFor();
    // Without the dialog, these would be keys of the page: "g" and "o" go to the overview.
    await page.keyboard.type("good");
    expect(await dialog.getByLabel("Reason, which is kept").inputValue()).toBe("not good");
    await dialog.getByRole("button", { name: "Skip it" }).click();
    await dialog.getByRole("alert").waitFor();
  });

  test("presses a button below a list by Enter, and opens no row", async () => {
    await writeBatch(db.sql, "pressed-1", many("Pressed", 300));
    const { page } = await open("/streams/pressed-1");
    await rowOf(page, "Pressed299").waitFor();
    await page.route("**/api/findMessages", (route) => route.abort());
    await page.locator(".rows").evaluate((it) => it.scrollTop = it.scrollHeight);
    const again = page.getByRole("button", { name: "Try again" });
    await again.waitFor();
    await page.unroute("**/api/findMessages");
    await again.focus();
    await page.keyboard.press("Enter");
    await page.locator('[aria-rowcount="201"], .panel').first().waitFor();
    expect(await page.locator(".panel").count()).toBe(0);
  });

  test("shows the lines of a JSON text where one is when others are folded", async () => {
    const inner = Object.fromEntries(Array.from({ length: 9 }, (_, at) => [`key${at}`, at]));
    const lists = { few: [Array(600).fill(inner)], many: Array(600).fill(inner) };
    for (const [name, data] of Object.entries(lists)) {
      const id = crypto.randomUUID();
      await write(db.sql, "folded-1", { id, type: "Folded", data });
      const { page } = await open(`/messages/${id}`);
      const view = page.getByRole("region", { name: "Data" }).first();
      await view.getByRole("button", { name: "Unfold" }).click();
      const lines = page.getByRole("region", { name: /^Data, / });
      await lines.evaluate((it) => it.scrollTop = it.scrollHeight);
      await until(async () => await seenLines(page) > 0);
      await view.getByRole("button", { name: "Fold", exact: true }).evaluate(clickTillFrame);
      expect([name, await seenLines(page)]).not.toEqual([name, 0]);
      await view.getByRole("button", { name: "Unfold" }).evaluate(clickTillFrame);
      expect([name, await seenLines(page)]).not.toEqual([name, 0]);
    }
  });

  test("searches on when one presses so while earlier messages are on their way", async () => {
    const sought = many("Sought", 600).map((it) => ({ ...it, data: "sought" }));
    await writeBatch(db.sql, "sought-1", sought);
    const { page } = await open("/categories");
    let release = () => {};
    const released = new Promise<void>((resolve) => release = resolve);
    await page.route("**/api/findMessages", async (route) => {
      const { direction, startAt } = route.request().postDataJSON();
      if (direction === "backward" && startAt !== "end") await released;
      if (Number(startAt) !== 300) return await route.fallback();
      // As if the search had looked at as many messages as it may.
      const answer = await (await route.fetch()).json();
      await route.fulfill({ json: { ...answer, messages: answer.messages.slice(0, 5) } });
    });
    await page.goto(`${served.origin}/streams/sought-1?position=300&text=sought`);
    await page.getByRole("button", { name: "Search on" }).click();
    release();
    await rowOf(page, "Sought400").waitFor({ state: "attached" });
  });

  test("walks a trace by the arrows as soon as one sees it", async () => {
    const { page } = await open("/");
    await write(db.sql, "walked-1", { type: "First" });
    const metadata = { causationMessageStreamName: "walked-1", causationMessagePosition: 0 };
    await write(db.sql, "walked-1", { type: "Second", metadata });
    await page.addInitScript(() => {
      // Before the browser has painted what the page has just made.
      const observer = new MutationObserver(() => {
        if (!document.querySelector('[role="treeitem"]')) return;
        observer.disconnect();
        const pressed = { key: "End", bubbles: true, cancelable: true };
        document.activeElement!.dispatchEvent(new KeyboardEvent("keydown", pressed));
      });
      observer.observe(document, { childList: true, subtree: true });
    });
    await page.goto(`${served.origin}/trace/streams/walked-1`);
    await page.locator('[role="treeitem"]:focus').filter({ hasText: "Second" }).waitFor();
  });

  test("stays where one reads when one turns a phone", async () => {
    await writeBatch(db.sql, "turned-1", many("Turned", 100));
    const { page } = await open("/streams/turned-1", { viewport: { width: 390, height: 844 } });
    await rowOf(page, "Turned99").waitFor();
    const rows = page.locator(".rows");
    await rows.evaluate((it) => it.scrollTop = 40 * 52);
    await rowOf(page, "Turned59").waitFor();
    await page.setViewportSize({ width: 844, height: 390 });
    await until(() => rows.evaluate((it) => it.scrollTop === 40 * 28));
  });

  test("shows a view whose script comes just as one goes to another", async () => {
    const { page } = await open("/");
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    let release = () => {};
    const released = new Promise<void>((resolve) => release = resolve);
    const asked = page.waitForRequest("**/assets/other_view-*.js");
    await page.route("**/assets/other_view-*.js", async (route) => {
      await released;
      await route.fallback();
    });
    await page.clock.install();
    await page.getByRole("link", { name: "Categories", exact: true }).click();
    const url = (await asked).url();
    await page.clock.pauseAt(Date.now() + 60_000);
    await page.getByRole("link", { name: "Consumers" }).click();
    release();
    await page.evaluate(`import(${JSON.stringify(url)})`);
    await page.clock.resume();
    await page.getByRole("heading", { name: "Consumers" }).waitFor();
  });
});

const reader = { category: "passed", consumerId: "reader", handle: () => {} };

function many(type: string, count: number) {
  return Array.from({ length: count }, (_, at) => ({ type: `${type}${at}` }));
}

function rowOf(page: Page, text: string | RegExp) {
  return page.getByRole("row").filter({ hasText: text });
}

/** Clicks, and waits for the next frame; what is scrolled by that is told later. */
function clickTillFrame(button: HTMLElement | SVGElement): Promise<unknown> {
  (button as HTMLElement).click();
  return new Promise((resolve) => requestAnimationFrame(resolve));
}

/** How many lines of the first JSON text one sees. */
function seenLines(page: Page): Promise<number> {
  return page.evaluate(() => {
    const seen = document.querySelector(".json-lines")!.getBoundingClientRect();
    return [...document.querySelectorAll(".json-lines .json-line")].filter((line) => {
      const { top, bottom } = line.getBoundingClientRect();
      return bottom > seen.top && top < seen.bottom;
    }).length;
  });
}
