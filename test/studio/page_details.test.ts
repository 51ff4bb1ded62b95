/** The page of the studio in a browser, where something is not as usual. */
import {
  aggregate,
  drain,
  fromQuery,
  readLastMessage,
  readStream,
  write,
  writeBatch,
} from "@messagedb/client";
import { studio } from "@messagedb/client/studio";
import type { Page, Response } from "playwright-core";
import { expect, onTestFinished, test } from "vitest";
import { describeInBrowser } from "../_describe_in_browser.ts";
import { eventually, until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { colorsOfPlot, hide, sentBy, seriousOf, serveStudio, useStudio } from "./_browse.ts";
import { bankAccount, bankBalances, fillHistory, fillToday } from "./_story.ts";

describeInBrowser("the page of the studio", () => {
  const db = useDatabase();

  const served = useStudio(async () => {
    await fillHistory(db.sql, 2000);
    await fillToday(db.sql);
    await aggregate(db.sql, { name: "ledger", from: ["account"], partition: () => 0 }, {
      once: true,
    });
    return studio(db.sql, {
      authorize: () => true,
      readOnly: false,
      entities: [bankAccount],
      consumers: [bankBalances],
    });
  });
  const { open } = served;

  test("says that a view has failed, and goes on with the others", async () => {
    const { page, trouble } = await open("/consumers");
    await page.getByRole("row").filter({ hasText: "balances" }).waitFor();
    // An answer that no view expects.
    await page.route("**/api/consumers", (route) => route.fulfill({ json: {} }));
    await page.reload();
    await page.getByText("This view has failed").waitFor();
    expect(trouble).toHaveLength(1);
    await page.getByRole("link", { name: "Categories" }).click();
    await page.getByRole("row").filter({ hasText: "meter" }).waitFor();
    await page.goBack();
    await page.getByText("This view has failed").waitFor();
    await page.unroute("**/api/consumers");
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("row").filter({ hasText: "balances" }).waitFor();
  });

  test("says that its script could not be loaded", async () => {
    const { page } = await open("/");
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    expect(await page.getByText("The script of the page is not here").count()).toBe(0);
    await page.route("**/assets/studio-*.js", (route) => route.abort());
    await page.reload();
    await page.getByText("The script of the page is not here. Load the page again.").waitFor();
    await page.unroute("**/assets/studio-*.js");
    await page.reload();
    await page.getByRole("heading", { name: "Overview" }).waitFor();
  });

  test("hears a key as soon as one sees what it is for, and where one was", async () => {
    const { page } = await open("/");
    await page.addInitScript(() => {
      // Before the browser has painted what the page has just made.
      const observer = new MutationObserver(() => {
        if (!document.querySelector('[role="row"].body')) return;
        observer.disconnect();
        const pressed = { key: "j", bubbles: true, cancelable: true };
        document.activeElement!.dispatchEvent(new KeyboardEvent("keydown", pressed));
      });
      observer.observe(document, { childList: true, subtree: true });
    });
    const at = (row: number) => page.locator(`[role="row"][aria-rowindex="${row}"]:focus`);
    await page.goto(`${served.origin}/consumers`);
    await at(2).waitFor();
    await page.keyboard.press("Enter");
    await page.waitForURL("**/consumers/*");
    await page.goto(`${served.origin}/streams/account-1007`);
    await at(2).waitFor();
    await page.keyboard.press("j");
    await at(3).waitFor();
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
    await page.keyboard.press("j");
    await at(4).waitFor();
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
    await page.keyboard.press("k");
    await at(3).waitFor();
    await page.keyboard.press("Enter");
    await page.waitForURL(/message=/);
    await page.keyboard.press("j");
    await at(4).waitFor();
    await page.keyboard.press("Escape");
    await page.waitForURL((url) => !url.searchParams.has("message"));
    await page.keyboard.press("j");
    await at(5).waitFor();
  });

  test("says that a view could not be loaded", async () => {
    const { page } = await open("/");
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await page.route("**/assets/other_view-*.js", (route) => route.abort());
    await page.getByRole("link", { name: "Categories", exact: true }).click();
    await page.getByText("This view could not be loaded. Load the page again.").waitFor();
    await page.unroute("**/assets/other_view-*.js");
    await page.reload();
    await page.getByRole("heading", { name: "Categories" }).waitFor();
  });

  test("says that the page has failed if what is around the view has", async () => {
    const { page, trouble } = await open("/categories");
    await page.getByRole("row").filter({ hasText: "meter" }).waitFor();
    // An answer that the page does not expect.
    await page.route("**/api/open", (route) => route.fulfill({ json: {} }));
    await page.reload();
    await page.getByText("This page has failed").waitFor();
    expect(trouble).toHaveLength(1);
    await page.unroute("**/api/open");
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("row").filter({ hasText: "meter" }).waitFor();
    await page.getByText("May write").waitFor();
  });

  test.each(["/streams/ledger-0", "/categories/ledger?tab=messages"])(
    "shows the messages that an aggregate refers to: %s",
    async (path) => {
      const { page } = await open(path);
      const reference = page.getByRole("row").filter({ hasText: "250.00" });
      await reference.getByRole("link", { name: /^account-1007 \d+$/ }).click();
      await page.waitForURL(/\/messages\//);
      await page.getByText("correction", { exact: false }).first().waitFor();
      expect(await page.locator(".message .kind").count()).toBe(0);
    },
  );

  test("offers nothing that is of entities where the library writes, unless it has the entity", async () => {
    const { page } = await open("/streams/account-1007");
    const offered = page.locator(".view-head").getByText(/Entity in time|Write a message/);
    await until(async () => await offered.count() === 2);
    await page.goto(`${served.origin}/streams/account%3Aposition-balances`);
    await page.getByRole("row").filter({ hasText: "Recorded" }).first().waitFor();
    expect(await offered.count()).toBe(0);
    await page.goto(`${served.origin}/streams/ledger-0`);
    await page.getByRole("link", { name: /^account-1007/ }).first().waitFor();
    expect(await offered.count()).toBe(0);
    await page.route("**/api/open", async (route) => {
      const answer = await (await route.fetch()).json();
      await route.fulfill({ json: { ...answer, entities: ["ledger"] } });
    });
    await page.reload();
    await offered.filter({ hasText: "Entity in time" }).waitFor();
    await page.getByRole("link", { name: /^account-1007/ }).first().waitFor();
    expect(await offered.count()).toBe(1);
  });

  test("shows where references lead if it may not read what they refer to", async () => {
    const { page } = await open("/");
    await page.route("**/api/readAggregate", (route) => route.fulfill({ status: 403, json: {} }));
    await page.goto(`${served.origin}/streams/ledger-0`);
    await page.getByRole("link", { name: /^account-1007 \d+$/ }).first().click();
    await page.waitForURL(/\/streams\/account-1007\?position=\d+$/);
  });

  test("says at once that no process holds a consumer for which messages wait", async () => {
    const guests = { category: "visit", consumerId: "guests", handle: () => {} };
    await write(db.sql, "visit-1", { type: "Came" });
    await drain(db.sql, guests);
    const { page } = await open("/consumers/visit%3Aposition-guests");
    await page.getByText("No message waits, and no process holds the consumer").waitFor();
    await write(db.sql, "visit-1", { type: "Left" });
    await page.getByText("Messages wait, and no process holds the consumer").waitFor();
    await page.goto(`${served.origin}/consumers`);
    await page.getByRole("row").filter({ hasText: "guests" }).getByText("not held").waitFor();
  });

  test("leads from the number of parked messages to what is parked", async () => {
    const { page } = await open("/");
    await page.getByRole("link", { name: "Parked" }).click();
    await page.waitForURL("**/consumers/account%3Aposition-balances");
    await page.getByText("and not a number").first().waitFor();
    const letters = { ...bankBalances, category: "invoice", consumerId: "letters" };
    await write(db.sql, "invoice-9", { type: "Issued", data: { amount: "75" } });
    await drain(db.sql, letters);
    await page.goto(served.origin);
    await page.locator(".tile").filter({ hasText: "Parked" }).getByText("4").waitFor();
    await page.getByRole("link", { name: "Parked" }).click();
    await page.waitForURL("**/consumers?parked=1");
    await page.getByRole("row").filter({ hasText: "letters" }).waitFor();
    expect(await page.getByRole("row").filter({ hasText: "1 of 2" }).count()).toBe(0);
    await page.getByLabel("Only with parked messages").uncheck();
    await page.getByRole("row").filter({ hasText: "1 of 2" }).waitFor();
  });

  test("leads to the messages of a correlation, also from its empty stream", async () => {
    const metadata = { correlationStreamName: "workflow-9" };
    for (const name of ["order-91", "payment-91"]) {
      await write(db.sql, name, { type: "Correlated", metadata });
    }
    const rows = (page: Page) => page.getByRole("row").filter({ hasText: "Correlated" });
    const { page } = await open("/streams/order-91");
    await rows(page).click();
    await page.getByRole("link", { name: "its messages" }).click();
    await eventually(async () => expect(await rows(page).count()).toBe(2));
    await page.goto(`${served.origin}/streams/workflow-9`);
    await page.getByText("This stream has no messages.").waitFor();
    await page.getByRole("link", { name: "Correlated" }).click();
    await eventually(async () => expect(await rows(page).count()).toBe(2));
    await page.getByRole("textbox", { name: "Stream of the correlation" }).fill("workflow");
    await page.keyboard.press("Enter");
    await page.waitForURL(/correlation=workflow(&|$)/);
    await eventually(async () => expect(await rows(page).count()).toBe(2));
    await page.goto(`${served.origin}/streams/order-91`);
    await page.getByRole("link", { name: "Cause and effect" }).click();
    await page.getByRole("treeitem").filter({ hasText: "Correlated" }).waitFor();
  });

  test("names the database", async () => {
    const { page } = await open("/all");
    const [{ name }] = await db.sql`select current_database() as name` as [{ name: string }];
    await page.locator(".about").filter({ hasText: name }).waitFor();
    await eventually(async () => expect(await page.title()).toBe(`all · ${name} · Studio`));
  });

  test("names the partition of a finding and of a category, and folds what is no trouble", async () => {
    const { page } = await open("/");
    const finding = (text: string, more: object) => ({ text, advice: null, ...more });
    await page.route("**/api/diagnose", (route) =>
      route.fulfill({
        json: [
          finding("the sequence is behind", { name: "sequence", state: "error", partition: 1 }),
          finding("fsync is off", { name: "durability", state: "warning", partition: 0 }),
          finding("all is well", { name: "clock", state: "ok", partition: 0 }),
        ],
      }));
    await page.route("**/api/storeStatus", async (route) => {
      const answer = await (await route.fetch()).json();
      const [store] = answer.stores;
      const other = { ...store, categories: [{ ...store.categories[0], category: "elsewhere" }] };
      const stores = [store, other].map((it, number) => ({ ...it, number }));
      await route.fulfill({ json: { ...answer, stores } });
    });
    await page.reload();
    const findings = page.getByRole("list", { name: "Findings" }).first();
    await findings.getByText("partition 1").waitFor();
    expect(await findings.getByRole("listitem").count()).toBe(1);
    expect(await page.getByText("fsync is off").isVisible()).toBe(false);
    await page.getByText("1 warning about what survives a crash").click();
    expect(await page.getByText("fsync is off").isVisible()).toBe(true);
    expect(await page.getByText("all is well").count()).toBe(0);
    await page.goto(`${served.origin}/categories`);
    await page.getByRole("row").filter({ hasText: "elsewhere" }).getByText("partition 1")
      .waitFor();
    await page.getByRole("row").filter({ hasText: "meter" }).getByText("partition 0").waitFor();
  });

  test("stays where one reads while much is written, and offers the latest", async () => {
    await writeBatch(db.sql, "flood-1", [{ type: "Before" }]);
    const { page } = await open("/streams/flood-1");
    await page.getByRole("row").filter({ hasText: "Before" }).waitFor();
    await hide(page, true);
    const many = Array.from({ length: 2500 }, (_, at) => ({ type: `Flood${at}` }));
    await writeBatch(db.sql, "flood-1", many);
    await hide(page, false);
    const jump = page.getByRole("button", { name: "Jump to the latest" });
    await jump.waitFor();
    await page.getByRole("row").filter({ hasText: "Before" }).waitFor();
    // What came after is on top, without a gap.
    await page.getByRole("row").filter({ hasText: /Flood0\b/ }).waitFor({ state: "attached" });
    await jump.click();
    await page.getByRole("row").filter({ hasText: "Flood2499" }).waitFor();
    expect(await jump.count()).toBe(0);
    await write(db.sql, "flood-1", { type: "After" });
    await page.getByRole("row").filter({ hasText: "After" }).waitFor();
  });

  test("comes back to where one was in a list, and goes on there", async () => {
    const many = Array.from({ length: 1200 }, (_, at) => ({ type: `Step${at}` }));
    await writeBatch(db.sql, "walked-1", many);
    for (const query of ["", "?direction=forward"]) {
      const { page } = await open(`/streams/walked-1${query}`);
      const rows = page.locator(".rows");
      const shown = (type: RegExp) => page.getByRole("row").filter({ hasText: type }).count();
      await eventually(async () => {
        await rows.evaluate((it) => it.scrollTop = it.scrollHeight);
        expect(await rows.evaluate((it) => it.scrollTop)).toBeGreaterThan(10_000);
      });
      const first = await firstSeen(page);
      await page.getByRole("link", { name: "Categories", exact: true }).first().click();
      await page.getByRole("heading", { name: "Categories" }).waitFor();
      await page.goBack();
      await page.getByRole("row").filter({ hasText: new RegExp(`${first}\\b`) }).waitFor();
      // What is before it and behind it is there as well.
      await eventually(async () => {
        await rows.evaluate((it) => it.scrollTop = 0);
        expect(await shown(query === "" ? /Step1199\b/ : /Step0\b/)).toBe(1);
      });
      await eventually(async () => {
        await rows.evaluate((it) => it.scrollTop = it.scrollHeight);
        expect(await shown(query === "" ? /Step0\b/ : /Step1199\b/)).toBe(1);
      });
      expect(await page.getByRole("table").getAttribute("aria-rowcount")).toBe("1201");
    }
  });

  test("is where one was when one loads a list again, or goes forward to it", async () => {
    const many = Array.from({ length: 500 }, (_, at) => ({ type: `Stride${at}` }));
    await writeBatch(db.sql, "strode-1", many);
    const { page } = await open("/categories");
    await page.evaluate(() => history.pushState(null, "", "/streams/strode-1"));
    await page.reload();
    await page.getByRole("row").filter({ hasText: "Stride499" }).waitFor();
    const rows = page.locator(".rows");
    const leftAt = () => page.evaluate(() => history.state?.leftAt);
    await rows.evaluate((it) => it.scrollTop = 1400);
    await until(async () => await leftAt() === 449);
    await page.goBack();
    await page.getByRole("heading", { name: "Categories" }).waitFor();
    await page.goForward();
    await page.getByRole("row").filter({ hasText: "Stride449" }).waitFor();
    await eventually(async () => {
      await rows.evaluate((it) => it.scrollTop = 0);
      expect(await page.getByRole("row").filter({ hasText: "Stride499" }).count()).toBe(1);
    });
    await until(async () => await leftAt() === undefined);
    await page.reload();
    await page.getByRole("row").filter({ hasText: "Stride499" }).waitFor();
    await write(db.sql, "strode-1", { type: "After" });
    await page.getByRole("row").filter({ hasText: "After" }).waitFor();
  });

  test("goes on with the keys where one sees, and back to the latest", async () => {
    const many = Array.from({ length: 700 }, (_, at) => ({ type: `Pace${at}` }));
    await writeBatch(db.sql, "paced-1", many);
    const { page } = await open("/streams/paced-1");
    await page.getByRole("row").filter({ hasText: "Pace699" }).waitFor();
    const rows = page.locator(".rows");
    const jump = page.getByRole("button", { name: "Jump to the latest" });
    const isGreen = () =>
      page.getByRole("button", { name: "Live" }).evaluate((it) => it.classList.contains("on"));
    expect(await jump.count()).toBe(0);
    expect(await isGreen()).toBe(true);
    const pressJ = async (type: RegExp) => {
      await page.keyboard.press("j");
      await page.locator('[role="row"]:focus').filter({ hasText: type }).waitFor();
    };
    await rows.evaluate((it) => it.scrollTop = 50 * 28);
    await pressJ(/Pace649\b/);
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
    await until(async () => await page.evaluate(() => history.state?.leftAt) === 649);
    await page.reload();
    await page.getByRole("row").filter({ hasText: "Pace649" }).waitFor();
    await pressJ(/Pace649\b/);
    await pressJ(/Pace648\b/);
    await page.goto(`${served.origin}/streams/paced-1?position=300`);
    await page.getByRole("row").filter({ hasText: /Pace300\b/ }).waitFor();
    await pressJ(/Pace300\b/);
    expect(await isGreen()).toBe(false);
    await jump.click();
    await page.getByRole("row").filter({ hasText: "Pace699" }).waitFor();
    await jump.waitFor({ state: "detached" });
    expect(await isGreen()).toBe(true);
    expect(new URL(page.url()).search).toBe("");
  });

  test("keeps the keys, and what one sees, where one is when earlier rows come on top", async () => {
    await writeBatch(
      db.sql,
      "topped-1",
      Array.from({ length: 700 }, (_, at) => ({ type: `Top${at}` })),
    );
    const { page } = await open("/categories");
    let isFirst = true;
    let release = () => {};
    const released = new Promise<void>((resolve) => release = resolve);
    await page.route("**/api/findMessages", async (route) => {
      if (!isFirst) await released;
      isFirst = false;
      await route.fallback();
    });
    await page.goto(`${served.origin}/streams/topped-1?position=300`);
    await page.getByRole("row").filter({ hasText: /Top300\b/ }).waitFor();
    const at = (type: RegExp) =>
      page.locator('[role="row"]:focus').filter({ hasText: type }).waitFor();
    await page.keyboard.press("j");
    await at(/Top300\b/);
    const blanks = await blankFrames(page);
    release();
    await page.getByRole("row").filter({ hasText: /Top299\b/ }).waitFor({ state: "attached" });
    await at(/Top300\b/);
    await page.keyboard.press("ArrowDown");
    await at(/Top301\b/);
    expect(await blanks()).toBe(0);
    // And when one scrolls away and comes back.
    const rows = page.locator(".rows");
    const place = await rows.evaluate((it) => it.scrollTop);
    await rows.evaluate((it) => it.scrollTop = it.scrollHeight);
    await page.getByRole("row").filter({ hasText: /Top301\b/ }).waitFor({ state: "detached" });
    await rows.evaluate((it, place) => it.scrollTop = place, place);
    await at(/Top301\b/);
  });

  test("begins anew where one goes to the view that one is in", async () => {
    await writeBatch(db.sql, "anew-1", Array.from({ length: 300 }, () => ({ type: "Anew" })));
    const { page } = await open("/all");
    const { globalPosition } = (await readLastMessage(db.sql, "anew-1"))!;
    const last = page.getByRole("row").filter({ hasText: globalPosition.toLocaleString("en") });
    await last.waitFor();
    const rows = page.locator(".rows");
    for (
      const goAgain of [
        () => page.getByRole("link", { name: "All messages" }).first().click(),
        () => page.keyboard.press("g").then(() => page.keyboard.press("a")),
      ]
    ) {
      await rows.evaluate((it) => it.scrollTop = 50 * 28);
      await until(async () => await page.evaluate(() => history.state?.leftAt) !== undefined);
      await goAgain();
      await last.waitFor();
      expect(await rows.evaluate((it) => it.scrollTop)).toBe(0);
    }
  });

  test("does not jump to the chosen message when that comes with later rows", async () => {
    const many = Array.from({ length: 400 }, (_, at) => ({ type: `Far${at}` }));
    await writeBatch(db.sql, "distant-1", many);
    const [far] = await readStream(db.sql, "distant-1", { position: 240, batchSize: 1 });
    const { page } = await open(`/streams/distant-1?message=${far!.id}`);
    await page.getByRole("row").filter({ hasText: "Far399" }).waitFor();
    const rows = page.locator(".rows");
    await rows.evaluate((it) => it.scrollTop = 60 * 28);
    await page.locator('[aria-rowcount="201"]').waitFor();
    await page.locator('[aria-rowcount="201"]').evaluate(() =>
      new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))
    );
    expect(await rows.evaluate((it) => it.scrollTop)).toBe(60 * 28);
  });

  test("loses and repeats nothing, whatever one does while news are on their way", async () => {
    const type = (at: number) => ({ type: `Step${at}` });
    await writeBatch(db.sql, "gap-1", Array.from({ length: 3300 }, (_, at) => type(at)));
    const { page } = await open("/streams/gap-1");
    const rows = page.locator(".rows");
    const count = async () =>
      Number(await page.getByRole("table").getAttribute("aria-rowcount")) - 1;
    const scrollTo = (count_: number) =>
      until(async () => {
        await rows.evaluate((it) => it.scrollTop = it.scrollHeight);
        return await count() >= count_;
      });
    await scrollTo(2900);
    const held: (() => void)[] = [];
    await page.route("**/api/findMessages", async (route) => {
      if (route.request().headers()["x-messagedb-again"] !== undefined) {
        await new Promise<void>((resolve) => held.push(resolve));
      }
      await route.fallback();
    });
    await write(db.sql, "gap-1", type(3300));
    await until(() => held.length === 1);
    // Those on top are dropped.
    await until(async () => {
      await rows.evaluate((it) => it.scrollTop = it.scrollHeight);
      return await count() < 2900;
    });
    // Live off and on: there is to be one look at a time.
    await page.getByRole("button", { name: "Live" }).click();
    await page.getByRole("button", { name: "Paused" }).click();
    await page.unroute("**/api/findMessages");
    for (const release of held) release();
    await until(async () => {
      await rows.evaluate((it) => it.scrollTop = 0);
      return await page.getByRole("row").filter({ hasText: "Step3300" }).count() === 1;
    });
    const positions = await page.evaluate(async () => {
      const list = document.querySelector(".rows")!;
      const seen = new Set<number>();
      for (let top = 0; top < list.scrollHeight; top += 280) {
        list.scrollTop = top;
        await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
        for (const it of document.querySelectorAll('[role="row"].body')) {
          seen.add(Number(/Step(\d+)/.exec(it.textContent)![1]));
        }
      }
      return [...seen].sort((a, b) => b - a);
    });
    expect(positions).toEqual(positions.map((_, at) => 3300 - at));
    expect(positions.length).toBeGreaterThan(2000);
  });

  test("shows a burst once, if Live is off and on while it is on its way", async () => {
    await writeBatch(db.sql, "twice-1", Array.from({ length: 10 }, () => ({ type: "Before" })));
    const { page } = await open("/streams/twice-1");
    await page.getByRole("row").filter({ hasText: "Before" }).first().waitFor();
    const held: (() => void)[] = [];
    await page.route("**/api/findMessages", async (route) => {
      await new Promise<void>((resolve) => held.push(resolve));
      await route.fallback();
    });
    await writeBatch(db.sql, "twice-1", Array.from({ length: 900 }, () => ({ type: "Burst" })));
    await until(() => held.length === 1);
    await page.getByRole("button", { name: "Live" }).click();
    await page.getByRole("button", { name: "Paused" }).click();
    // The page asks for other things meanwhile: then this was its turn.
    const asked = sentBy(page, "pulse");
    await until(() => asked.sent.length > 3);
    await page.unroute("**/api/findMessages");
    for (const release of held) release();
    await page.locator('[aria-rowcount="911"]').waitFor();
  });

  test("reads on by itself where messages are large", async () => {
    const text = "x".repeat(10_000_000);
    for (let at = 0; at < 5; at++) {
      await write(db.sql, "bulky-1", { type: `Big${at}`, data: text });
    }
    const { page } = await open("/streams/bulky-1");
    await page.getByRole("row").filter({ hasText: "Big0" }).waitFor();
    expect(await page.getByRole("table").getAttribute("aria-rowcount")).toBe("6");
    expect(await page.getByRole("button", { name: "Search on" }).count()).toBe(0);
  });

  test.each([["", "an empty stream"], ["?type=Gust", "an empty stream with a filter"]])(
    "shows each message of a burst into a list %s of %s",
    async (query) => {
      const name = `gust${query.length}-1`;
      const { page } = await open(`/streams/${name}${query}`);
      await page.getByText(/This stream has no messages|No message fits/).waitFor();
      await page.locator(".beat").filter({ hasText: "Live" }).waitFor();
      const many = Array.from({ length: 900 }, (_, at) => ({ type: "Gust", data: `Gust${at}` }));
      await writeBatch(db.sql, name, many);
      await page.getByRole("row").filter({ hasText: "Gust899" }).waitFor();
      await eventually(async () => {
        await page.locator(".rows").evaluate((it) => it.scrollTop = it.scrollHeight);
        expect(await page.getByRole("row").filter({ hasText: /Gust0\b/ }).count()).toBe(1);
      });
    },
  );

  test("shows all that is written into five open lists, for a statement a second", async () => {
    let statements = 0;
    const counted = fromQuery((text, parameters) => {
      statements++;
      return db.sql.unsafe(text, parameters);
    });
    const { origin, stop } = await serveStudio(studio(counted, { authorize: () => true }));
    onTestFinished(stop);
    const names = Array.from({ length: 5 }, (_, at) => `open${at}`);
    const pages: Page[] = [];
    for (const name of names) {
      await write(db.sql, `${name}-1`, { type: "Before" });
      const { page } = await open(`/categories/${name}?tab=messages`, { origin });
      await page.getByRole("row").filter({ hasText: "Before" }).waitFor();
      await page.locator(".beat").filter({ hasText: "Live" }).waitFor();
      pages.push(page);
    }
    const began = performance.now();
    statements = 0;
    let written = 0;
    await until(async () => {
      for (const name of names) await write(db.sql, `${name}-1`, { type: `Number${written}` });
      written++;
      return performance.now() - began > 3000;
    });
    for (const page of pages) {
      await page.getByRole("row").filter({ hasText: `Number${written - 1}` }).waitFor();
    }
    const seconds = (performance.now() - began) / 1000;
    // The first five, and five of a look that begins with the last that is left.
    expect(statements).toBeLessThanOrEqual(10 + Math.ceil(seconds));
    for (const page of pages) {
      const rows = await page.getByRole("table").getAttribute("aria-rowcount");
      // The head, and the first message.
      expect(rows).toBe(String(written + 2));
    }
  });

  test("shows what a transaction has committed late, also if nothing is written after", async () => {
    await write(db.sql, "hoar-1", { type: "Before" });
    const { page } = await open("/categories/hoar?tab=messages");
    await page.getByRole("row").filter({ hasText: "Before" }).waitFor();
    await page.locator(".beat").filter({ hasText: "Live" }).waitFor();
    const late = db.connect({ max: 1 });
    await late.unsafe("begin");
    await write(late, "hoar-2", { type: "Late" });
    // Another category: its writer does not wait for the lock of this one.
    await write(db.sql, "rime-1", { type: "After" });
    const { globalPosition } = (await readLastMessage(db.sql, "rime-1"))!;
    await until(async () => {
      const { heads } = await (await page.waitForResponse("**/api/pulse")).json();
      return heads[0] >= globalPosition;
    });
    await page.waitForResponse("**/api/findMessages");
    await late.unsafe("commit");
    await page.getByRole("row").filter({ hasText: "Late" }).waitFor();
  });

  test("catches up with what was written when one scrolls there", async () => {
    await writeBatch(db.sql, "rain-1", [{ type: "Before" }]);
    const { page } = await open("/streams/rain-1");
    await page.getByRole("row").filter({ hasText: "Before" }).waitFor();
    await hide(page, true);
    const many = Array.from({ length: 2500 }, (_, at) => ({ type: `Rain${at}` }));
    await writeBatch(db.sql, "rain-1", many);
    await hide(page, false);
    const jump = page.getByRole("button", { name: "Jump to the latest" });
    await jump.waitFor();
    await scrollUpTo(page, "Rain2499");
    await jump.waitFor({ state: "detached" });
  });

  test("catches up with what a filter finds when one scrolls there", async () => {
    await write(db.sql, "hail-1", { type: "Hail", data: "Before" });
    const { page } = await open("/categories/hail?tab=messages&type=Hail");
    await page.getByRole("row").filter({ hasText: "Before" }).waitFor();
    await page.locator(".beat").filter({ hasText: "Live" }).waitFor();
    await hide(page, true);
    const many = Array.from({ length: 500 }, (_, at) => ({ type: "Hail", data: `Stone${at}` }));
    await writeBatch(db.sql, "hail-1", many);
    await hide(page, false);
    const jump = page.getByRole("button", { name: "Jump to the latest" });
    await jump.waitFor();
    await page.getByRole("row").filter({ hasText: "Before" }).waitFor();
    // What came after is on top, without a gap.
    await page.getByRole("row").filter({ hasText: /Stone0\b/ }).waitFor({ state: "attached" });
    await scrollUpTo(page, "Stone499");
    await jump.waitFor({ state: "detached" });
    await write(db.sql, "hail-1", { type: "Hail", data: "After" });
    await page.getByRole("row").filter({ hasText: "After" }).waitFor();
  });

  test.each([
    ["a category", "/categories/sleet?tab=messages&type=Sleet"],
    ["a stream", "/streams/sleet-1?type=Sleet"],
  ])(
    "looks for what is new to a search of %s only after what it has looked at",
    async (_, path) => {
      const others = Array.from({ length: 500 }, () => ({ type: "Other" }));
      await writeBatch(db.sql, "sleet-1", [{ type: "Sleet", data: "Before" }, ...others]);
      const { page } = await open(path);
      await page.getByRole("row").filter({ hasText: "Before" }).first().waitFor();
      await page.locator(".beat").filter({ hasText: "Live" }).waitFor();
      const searches: Response[] = [];
      page.on("response", (response) => {
        if (!response.url().endsWith("/findMessages")) return;
        if (response.request().postDataJSON().types !== undefined) searches.push(response);
      });
      const id = crypto.randomUUID();
      for (const data of [`First ${id}`, `Second ${id}`, `Third ${id}`]) {
        await write(db.sql, "sleet-1", { type: "Sleet", data });
        await page.getByRole("row").filter({ hasText: data }).waitFor();
      }
      const answers = await Promise.all(searches.map((search) => search.json()));
      const scans = answers.map(({ scanned }) => scanned);
      expect(scans.length).toBeGreaterThan(1);
      // Not all 500, but those at which a late commit can be.
      expect(Math.max(...scans.slice(1))).toBeLessThan(400);
    },
  );

  test("catches up with all messages if the latest are the library's own, which are left out", async () => {
    await write(db.sql, "snow-1", { type: "Before" });
    const { page } = await open("/all");
    await page.getByRole("row").filter({ hasText: "snow-1" }).waitFor();
    await hide(page, true);
    // A page has 100 messages: nothing is on the last one but what is left out.
    const many = Array.from({ length: 2100 }, (_, at) => ({ type: `Snow${at}` }));
    await writeBatch(db.sql, "snow-1", many);
    await write(db.sql, "snow:position-depth", { type: "Recorded", data: { position: 1 } });
    await hide(page, false);
    const jump = page.getByRole("button", { name: "Jump to the latest" });
    await jump.waitFor();
    await scrollUpTo(page, "Snow2099");
    await jump.waitFor({ state: "detached" });
    await write(db.sql, "snow-1", { type: "After" });
    await page.getByRole("row").filter({ hasText: "After" }).waitFor();
  });

  test.each([
    ["/", "Keys", "Keys"],
    ["/streams/note-1", "Write a message", "Write a message"],
    ["/consumers/account%3Aposition-balances", "Rewind…", "Rewind the consumer"],
    ["/consumers/account%3Aposition-balances", "Replay all…", "Replay parked messages"],
    ["/consumers/account%3Aposition-balances", "Discard 3…", "Discard parked messages"],
    ["/consumers/invoice%3Aposition-reports", "Park…", "Park the next message"],
    ["/consumers/invoice%3Aposition-reports", "Skip…", "Skip the next message"],
    ["/streams/long-1?message=", /more characters$/, "Text of 1,000 characters"],
  ])(
    "%s: %s opens a dialog with a title, and closing it gives the focus back",
    async (path, name, title) => {
      const id = crypto.randomUUID();
      if (path.includes("long")) {
        await write(db.sql, "long-1", { id, type: "Long", data: "x".repeat(1000) });
      }
      const { page } = await open(path.endsWith("=") ? path + id : path);
      if (title.startsWith("Discard")) await page.getByLabel("All shown").check();
      const button = page.getByRole("button", { name });
      const dialog = page.getByRole("dialog", { name: title });
      for (const close of ["Escape", "Enter"]) {
        await button.focus();
        await page.keyboard.press("Enter");
        await dialog.waitFor();
        expect(await page.locator("dialog:focus, dialog :focus").count()).toBe(1);
        if (close === "Enter") await dialog.getByRole("button", { name: "Close" }).focus();
        await page.keyboard.press(close);
        await dialog.waitFor({ state: "detached" });
        await until(() => button.evaluate((it) => it === document.activeElement));
      }
    },
  );

  test.each(["light", "dark"] as const)(
    "has nothing that axe finds serious where something is unusual, in the %s theme",
    async (colorScheme) => {
      const { page } = await open("/streams/ledger-0", { colorScheme, bypassCSP: true });
      await page.getByRole("link", { name: /^account-1007/ }).first().waitFor();
      expect(await seriousOf(page)).toEqual([]);
      await page.goto(`${served.origin}/consumers?parked=1`);
      await page.getByRole("row").filter({ hasText: "balances" }).waitFor();
      expect(await seriousOf(page)).toEqual([]);
      await page.route("**/api/consumers", async (route) => {
        const answer = await (await route.fetch()).json();
        for (const it of answer.consumers) Object.assign(it, { health: "busy", owner: null });
        await route.fulfill({ json: answer });
      });
      await page.goto(`${served.origin}/consumers/account%3Aposition-balances`);
      await page.getByText("Messages wait, and no process").waitFor();
      await page.getByText("and not a number").first().waitFor();
      expect(await seriousOf(page)).toEqual([]);
      await page.goto(served.origin);
      await page.getByText("not held").first().waitFor();
      await page.locator(".notes summary").click();
      expect(await seriousOf(page)).toEqual([]);
      await page.route("**/api/consumers", (route) => route.fulfill({ json: {} }));
      await page.reload();
      await page.getByText("This view has failed").waitFor();
      expect(await seriousOf(page)).toEqual([]);
      await page.route("**/api/consumers", () => {});
      await page.goto(`${served.origin}/consumers`);
      await page.locator(".loading").waitFor({ state: "attached" });
      // What appears bit by bit cannot be read meanwhile.
      for (const time of [100, 300, 400]) {
        await page.evaluate((time) => {
          for (const it of document.getAnimations()) {
            it.pause();
            it.currentTime = time;
          }
        }, time);
        expect(await seriousOf(page)).toEqual([]);
      }
    },
  );

  test("walks a trace by the arrows at once", async () => {
    const { page } = await open("/consumers/account%3Aposition-balances");
    await page.getByRole("link", { name: "Cause" }).first().click();
    await page.locator('[role="treeitem"]:focus').filter({ hasText: "account-1007" }).waitFor();
    await page.keyboard.press("ArrowLeft");
    await page.locator('[role="treeitem"]:focus').filter({ hasText: "ImportCorr" }).waitFor();
    const panel = page.getByRole("complementary");
    await panel.getByText("night-batch").waitFor();
    expect(await panel.getByRole("link", { name: "Cause and effect" }).count()).toBe(0);
  });

  test("draws plots anew when the system changes its theme", async () => {
    const { page } = await open("/", { colorScheme: "light" });
    const has = async (color: string) => (await colorsOfPlot(page)).includes(color);
    await until(() => has("47,95,208"));
    await page.emulateMedia({ colorScheme: "dark" });
    await until(() => has("134,169,255"));
    expect(await has("47,95,208")).toBe(false);
  });

  test("makes few rows of 100,000 consumers, and of a group with 1,000 members", async () => {
    const { page } = await open("/consumers");
    await page.addInitScript(() => {
      const real = fetch;
      // So many are too large for the protocol between the test and the browser.
      const many = async (...args: Parameters<typeof real>) => {
        const response = await real(...args);
        if (!String(args[0]).endsWith("/api/consumers")) return response;
        const { at, consumers: [some] } = await response.json();
        const consumers = Array.from({ length: 100_000 }, (_, at) => {
          const [name, member] = at < 99_000 ? [`one-${at}`] : ["team", at - 99_000];
          const streamName = `account:position-${name}${member ?? ""}`;
          const group = member !== undefined && { consumerGroup: { member, size: 1000 } };
          return { ...some, streamName, consumerId: name, ...group };
        });
        return Object.assign(new Response(), { json: () => Promise.resolve({ at, consumers }) });
      };
      globalThis.fetch = Object.assign(many, real);
    });
    await page.reload();
    const one = page.getByRole("row").filter({ hasText: "one-" });
    await one.first().waitFor();
    expect(await one.count()).toBeLessThan(100);
    await page.goto(`${served.origin}/consumers/account%3Aposition-team7`);
    await page.getByText("100 of 1,000 members are shown").waitFor();
    expect(await page.getByRole("row").count()).toBeLessThan(110);
    expect(await page.getByRole("heading", { name: /Next message, member/ }).count()).toBe(8);
  });
});

/** Scrolls to the top, again and again, until the row is there: each page that is read puts the top farther up. */
async function scrollUpTo(page: Page, text: string): Promise<void> {
  await eventually(async () => {
    await page.locator(".rows").evaluate((it) => it.scrollTop = 0);
    expect(await page.getByRole("row").filter({ hasText: text }).count()).toBe(1);
  });
}

/** The type of the first message that one sees of a list, once what is there is drawn. */
async function firstSeen(page: Page): Promise<string> {
  let type: string | undefined;
  await until(async () => {
    type = await page.evaluate(() => {
      const { bottom } = document.querySelector(".rows-head")!.getBoundingClientRect();
      const all = [...document.querySelectorAll('[role="row"].body')];
      const seen = all.find((it) => it.getBoundingClientRect().bottom > bottom + 1);
      return /Step\d+/.exec(seen?.textContent ?? "")?.[0];
    });
    return type !== undefined;
  });
  return type!;
}

/** How many frames a list has without a row that one sees, from now on. */
async function blankFrames(page: Page): Promise<() => Promise<number>> {
  await page.evaluate(() => {
    const counted = { blanks: 0 };
    Object.assign(globalThis, { counted });
    const look = () => {
      const seen = document.querySelector(".rows")!.getBoundingClientRect();
      const all = [...document.querySelectorAll('[role="row"].body')];
      const isSeen = (it: DOMRect) => it.bottom > seen.top + 28 && it.top < seen.bottom;
      if (!all.some((it) => isSeen(it.getBoundingClientRect()))) counted.blanks++;
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  return () =>
    page.evaluate(() => (globalThis as unknown as { counted: { blanks: number } }).counted.blanks);
}
