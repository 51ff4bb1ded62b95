/** The page of the studio in a browser, before a real store of a million messages with consumers that run. */
import { studio } from "@messagedb/client/studio";
import { write } from "@messagedb/client";
import type { Page } from "playwright-core";
import { afterAll, expect, test } from "vitest";
import { describeInBrowser } from "../_describe_in_browser.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { countAsked, newContext, seriousOf, serveStudio, useStudio } from "./_browse.ts";
import { HOSTILE_TEXTS, writeHostile } from "./_store.ts";
import { bankAccount, bankBalances, fillHistory, fillToday, runBank } from "./_story.ts";

const MESSAGES = 1_000_000;
const PHONE = { width: 390, height: 844 };

describeInBrowser("the page of the studio", () => {
  const db = useDatabase();
  const stopping = new AbortController();
  let readOnly: Awaited<ReturnType<typeof serveStudio>>;
  let running: Promise<void>;
  /** The message that an import wrote, from which the trouble comes. */
  let command: string;

  const served = useStudio(async () => {
    await fillHistory(db.sql, MESSAGES);
    await fillToday(db.sql);
    await writeHostile(db.sql);
    running = runBank(db.sql, stopping.signal);
    const given = { authorize: () => true, entities: [bankAccount], signal: stopping.signal };
    const may = { ...given, readOnly: false, consumers: [bankBalances], basePath: "/studio" };
    readOnly = await serveStudio(studio(db.sql, given));
    const [row] = await db.sql`
        select id from message_store.messages where stream_name = 'import:command-2026'`;
    command = row!["id"];
    return studio(db.sql, may);
  }, "/studio");
  const { open } = served;

  afterAll(async () => {
    stopping.abort();
    await running;
    await readOnly?.stop();
  });

  const views = (): Record<string, readonly [path: string, text: string]> => ({
    overview: ["/", "Messages over time"],
    "all messages": ["/all", "transfer:command-"],
    "all messages, with bookkeeping": ["/all?own=1", "position"],
    categories: ["/categories", "meter"],
    "a category's streams": ["/categories/account", "account-1"],
    "a category's messages": ["/categories/account?tab=messages", "Deposited"],
    "a category's types": ["/categories/account?tab=types", "Withdrawn"],
    "a stream": [`/streams/account-1007?message=${command}`, "ImportCorrections"],
    "a message": [`/messages/${command}`, "night-batch"],
    "a trace": [`/trace/${command}`, "account:parked-balances"],
    "an entity": ["/entities/account-1007?position=3", "State after position 3"],
    consumers: ["/consumers", "balances"],
    "a consumer": ["/consumers/account%3Aposition-balances", "and not a number"],
    "a group": ["/consumers/transfer%2Fstatements", "member 2 of 2"],
    "no such page": ["/nowhere", "There is no such page"],
    "no such message": [
      "/messages/00000000-0000-4000-8000-000000000000",
      "No message has the id",
    ],
    "no such consumer": ["/consumers/nobody", "no position of this consumer"],
  });

  test("shows each view, and no policy is violated", async () => {
    for (const [name, [path, text]] of Object.entries(views())) {
      const { page, context, trouble } = await open(path);
      await page.getByText(text).first().waitFor();
      expect(await page.locator("h1").count(), name).toBe(1);
      const requests = await page.evaluate(() =>
        performance.getEntriesByType("resource").map(({ name }) => new URL(name).origin)
      );
      expect(new Set(requests), name).toEqual(new Set([served.origin]));
      expect(trouble, name).toEqual([]);
      await context.close();
    }
  });

  test.each(["light", "dark"] as const)(
    "has nothing that axe finds serious, in the %s theme",
    async (colorScheme) => {
      // Only the test puts a script into the page.
      const { page } = await open("/", { colorScheme, bypassCSP: true });
      const found: string[] = [];
      for (const [name, [path, text]] of Object.entries(views())) {
        await page.goto(`${served.origin}/studio${path}`);
        await page.getByText(text).first().waitFor();
        found.push(...(await seriousOf(page)).map((it) => `${name}: ${it}`));
      }
      expect(found).toEqual([]);
    },
  );

  test("leads from wrong balances to the message, its cause and the parked handler", async () => {
    const { page, trouble } = await open("/");
    await page.getByRole("link", { name: "balances", exact: true }).click();
    await page.getByText('the amount is "250.00", and not a number').waitFor();
    expect(await page.getByRole("row").filter({ hasText: "not a number" }).count()).toBe(3);
    await page.getByRole("row").filter({ hasText: "250.00" }).getByRole("link", { name: "Cause" })
      .click();
    const tree = page.getByRole("tree");
    await tree.waitFor();
    await tree.getByText("account:parked-balances").waitFor();
    // The message that was asked for is chosen; its cause is to the left.
    await tree.locator('[tabindex="0"]').focus();
    await page.keyboard.press("ArrowLeft");
    const panel = page.getByRole("complementary");
    await panel.getByText("corrections.csv").waitFor();
    await panel.getByText("night-batch").waitFor();
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/trace/${command}*`);
    await page.getByText("account-1009").first().waitFor();
    await page.goBack();
    await page.goBack();
    await page.getByText("Parked messages").waitFor();

    await page.getByLabel("Choose Withdrawn of account-1008").check();
    await page.getByRole("button", { name: "Discard 1…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("is not handled any more").waitFor();
    expect(await dialog.getByRole("button", { name: "Discard" }).isDisabled()).toBe(true);
    await dialog.getByLabel("Reason, which is kept").fill("corrected by hand");
    await dialog.getByRole("button", { name: "Discard" }).click();
    await page.getByText("Discarded 1 message").waitFor();
    await page.getByText("80.50").waitFor({ state: "detached" });

    await page.getByRole("button", { name: "Replay all…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Replay" }).click();
    await page.getByText("Replayed 2 messages, 2 of them parked again").waitFor();
    expect(trouble).toEqual([]);
  });

  test("rewinds a consumer after a preview, and parks and skips the next message", async () => {
    await write(db.sql, "invoice-2001", { type: "Issued", data: { amount: 1 } });
    await write(db.sql, "invoice-2002", { type: "Issued", data: { amount: 2 } });
    const { page } = await open("/consumers/invoice%3Aposition-reports");
    await page.getByRole("button", { name: "Park…" }).click();
    await page.getByLabel("Reason, which is kept").fill("not yet");
    await page.getByRole("button", { name: "Park it" }).click();
    await page.getByRole("row").filter({ hasText: "not yet" }).waitFor();
    await page.getByRole("link", { name: "invoice-2001" }).waitFor();
    await page.getByRole("button", { name: "Skip…" }).click();
    await page.getByLabel("Reason, which is kept").fill("a test");
    await page.getByRole("button", { name: "Skip it" }).click();
    await page.getByRole("link", { name: "invoice-2002" }).waitFor();

    await page.getByText("was not given it").waitFor();
    await page.getByRole("button", { name: "Rewind…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("the beginning").click();
    await dialog.getByText("50,000 messages or more handled again").waitFor();
    await dialog.getByRole("button", { name: "Rewind it" }).click();
    await page.getByText("The consumer goes on at 1").waitFor();
  });

  test("writes a message, and shows it where it was written", async () => {
    const { page } = await open("/streams/note-1");
    await page.getByText("This stream has no messages").waitFor();
    await page.getByRole("button", { name: "Write a message" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Type").fill("Noted");
    await dialog.getByLabel("Data, as JSON", { exact: true }).fill("{");
    await dialog.getByRole("alert").waitFor();
    expect(await dialog.getByRole("button", { name: "Write it" }).isDisabled()).toBe(true);
    await dialog.getByLabel("Data, as JSON", { exact: true }).fill('{"text":"from the page"}');
    await dialog.getByLabel("Expected version").fill("5");
    await dialog.getByRole("button", { name: "Write it" }).click();
    await dialog.getByRole("alert").filter({ hasText: "expected version 5" }).waitFor();
    await dialog.getByLabel("Expected version").fill("-1");
    await dialog.getByRole("button", { name: "Write it" }).click();
    await page.getByRole("row").filter({ hasText: "from the page" }).waitFor();
  });

  test("offers nothing that changes the store if it is read only", async () => {
    const { page } = await open("/consumers/account%3Aposition-balances", {
      origin: readOnly.origin,
    });
    await page.getByText("and not a number").first().waitFor();
    await page.getByText("Read only").waitFor();
    const offered = page.getByRole("button", { name: /replay|discard|rewind|park|skip|write/i });
    expect(await offered.count()).toBe(0);
    await page.goto(`${readOnly.origin}/streams/account-1007`);
    await page.getByRole("row").nth(5).waitFor();
    expect(await offered.count()).toBe(0);
  });

  test("scrolls through a category page by page, with few rows made at a time", async () => {
    const { page } = await open("/categories/meter?tab=messages");
    const body = page.locator(".rows");
    await page.getByRole("row").nth(20).waitFor();
    const first = await lastPosition(page);
    await until(async () => {
      await body.evaluate((it) => it.scrollTop = it.scrollHeight);
      return first - await lastPosition(page) > 1000;
    });
    expect(await page.getByRole("row").count()).toBeLessThan(100);
  });

  test("jumps to a position and to a time, and reads on from there in both directions", async () => {
    const { page } = await open("/all");
    await page.getByLabel("Jump to a global position or a time").fill("500000");
    await page.keyboard.press("Enter");
    await page.waitForURL("**/all?position=500000");
    const target = page.locator(".row.target");
    await target.filter({ hasText: "500,000" }).waitFor();
    await page.getByRole("row").filter({ hasText: "499,999" }).waitFor({ state: "attached" });
    await page.waitForFunction(() => {
      const row = document.querySelector(".row.target")!.getBoundingClientRect();
      const table = document.querySelector(".rows")!.getBoundingClientRect();
      return row.top >= table.top && row.bottom <= table.bottom;
    });
    const time = await target.locator("time").getAttribute("datetime");
    const later = new Date(Date.parse(time!) + 86_400_000).toISOString();
    await page.goto(`${served.origin}/studio/all?position=${later}`);
    await page.getByText(later.slice(0, 10)).first().waitFor();
  });

  test("filters by type, time and text; searches on, tells how far, and can be cancelled", async () => {
    const { page } = await open("/all?type=Paid");
    await page.getByRole("row").filter({ hasText: "Paid" }).nth(10).waitFor();
    await page.goto(`${served.origin}/studio/all?text=nowhere-to-be-found`);
    await page.getByText(/Looked at 20,\d\d\d messages, found 0/).waitFor();
    await page.getByRole("button", { name: "Search on" }).click();
    await page.getByText(/Looked at [4-9]0,\d\d\d messages, found 0…/).waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "Search on" }).waitFor();
    await page.goto(`${served.origin}/studio/categories/account?tab=messages&text=correction`);
    await page.getByRole("row").filter({ hasText: "250.00" }).waitFor();
    await page.goto(`${served.origin}/studio/all`);
    await page.getByLabel("Since a time").fill("2 h");
    await page.getByLabel("Since a time").press("Enter");
    await page.waitForURL(/since=20/);
    await page.getByLabel("Since a time").fill("soon");
    expect(await page.getByLabel("Since a time").getAttribute("aria-invalid")).toBe("true");
  });

  test("shows what is written, and not where one reads, and can be paused", async () => {
    const { page } = await open("/categories/tail?tab=messages");
    await page.getByText("No messages yet").waitFor();
    await write(db.sql, "tail-1", { type: "First" });
    await page.getByRole("row").filter({ hasText: "First" }).waitFor();
    for (let number = 0; number < 60; number++) {
      await write(db.sql, "tail-1", { type: `Many${number}` });
    }
    await page.getByRole("row").filter({ hasText: "Many59" }).waitFor();
    await page.locator(".rows").evaluate((it) => it.scrollTop = 280);
    const place = () =>
      page.evaluate(() => {
        const rows = [...document.querySelectorAll('[role="row"]')];
        return rows.find((it) => it.textContent?.includes("Many40"))!.getBoundingClientRect().top;
      });
    const before = await place();
    await write(db.sql, "tail-1", { type: "News" });
    await page.getByRole("row").filter({ hasText: "News" }).waitFor({ state: "attached" });
    expect(Math.abs(await place() - before)).toBeLessThan(2);
    await page.getByRole("button", { name: "Live" }).click();
    await write(db.sql, "tail-1", { type: "Unseen" });
    await page.getByRole("button", { name: "Paused" }).click();
    await page.getByRole("row").filter({ hasText: "Unseen" }).waitFor({ state: "attached" });
  });

  test("is used by keys alone", async () => {
    const { page } = await open("/");
    await page.getByText("Messages over time").waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("k");
    await page.waitForURL("**/studio/consumers");
    await page.getByRole("row").filter({ hasText: "balances" }).waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.waitForURL("**/studio/consumers/*");
    await page.keyboard.press("/");
    await page.keyboard.type("account-1007");
    await page.getByRole("option", { name: /Stream/ }).waitFor();
    await page.keyboard.press("Enter");
    await page.waitForURL("**/streams/account-1007");
    await page.getByRole("row").nth(5).waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.waitForURL(/message=/);
    const [first] = new URL(page.url()).searchParams.getAll("message");
    await page.keyboard.press("ArrowDown");
    await page.waitForURL((url) => url.searchParams.get("message") !== first);
    await page.keyboard.press("Escape");
    await page.waitForURL((url) => !url.searchParams.has("message"));
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("g");
    await page.keyboard.press("o");
    await page.getByText("Messages over time").waitFor();
  });

  test("shows an entity in time, and marks what each message has changed", async () => {
    const { page } = await open("/entities/account-1003");
    await page.getByText("the entity of this category").waitFor();
    const slider = page.getByRole("slider");
    await slider.fill("3");
    await page.getByText("State after position 3").waitFor();
    await page.waitForURL(/position=3/);
    expect(await page.locator(".json-line.changed").count()).toBeGreaterThan(0);
    await page.getByRole("button", { name: "After" }).focus();
    await page.keyboard.press("ArrowRight");
    await page.getByText("State after position 4").waitFor();
    await page.goto(`${served.origin}/studio/entities/meter-1003?position=2`);
    await page.getByText("the data of the messages, merged").waitFor();
  });

  test("keeps the theme that one chooses", async () => {
    const { page, context } = await open("/", { colorScheme: "light" });
    const color = (it: Page) => it.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await color(page);
    await page.getByLabel("Theme").selectOption("dark");
    expect(await color(page)).not.toBe(light);
    const other = await context.newPage();
    await other.goto(`${served.origin}/studio/all`);
    await other.getByRole("row").nth(3).waitFor();
    expect(await color(other)).not.toBe(light);
  });

  test("does nothing that other people's texts want, and shows them as texts", async () => {
    const { page, trouble } = await open("/categories/hostile");
    await page.getByRole("row").nth(3).waitFor();
    for (const text of HOSTILE_TEXTS) {
      await page.goto(`${served.origin}/studio/streams/${encodeURIComponent(`hostile-${text}`)}`);
      await page.getByRole("row").nth(1).click();
      await page.getByText("Metadata").waitFor();
      const shown = await page.locator(".message h2").evaluate((heading) => {
        const copy = heading.cloneNode(true) as HTMLElement;
        for (const mark of copy.querySelectorAll(".mark")) mark.remove();
        return copy.textContent;
      });
      expect(letters(shown)).toBe(letters(text));
    }
    for (
      const stream of [
        "__proto__-__proto__",
        "hostile-large",
        "hostile-shapes",
        "hostile-odd/?#%2F&=+ \\\"'`<>",
      ]
    ) {
      const path = encodeURIComponent(stream);
      for (const view of ["streams", "entities", "trace/streams"]) {
        await page.goto(`${served.origin}/studio/${view}/${path}`);
        await page.locator("h1").waitFor();
        await page.locator('[role="row"][tabindex], [role="treeitem"], .state').first().waitFor();
      }
    }
    await page.goto(`${served.origin}/studio/streams/hostile-shapes?direction=forward`);
    for (
      const [at, type] of ["Deep", "Text", "Number", "List", "Nothing", "Empty", "Keys"].entries()
    ) {
      await page.getByRole("row").nth(at + 1).click();
      await page.locator(".message h2").filter({ hasText: type }).waitFor();
      const unfold = page.getByRole("button", { name: "Unfold" }).first();
      if (await unfold.count()) await unfold.click();
    }
    await page.getByRole("region", { name: /Data, 5,002 lines/ }).waitFor();
    expect(await page.locator(".json-line").count()).toBeLessThan(300);
    await page.goto(`${served.origin}/studio/streams/__proto__-__proto__`);
    await page.getByRole("row").nth(1).click();
    await page.locator(".json-key").filter({ hasText: "__proto__" }).waitFor();
    expect(await page.title()).toContain("Studio");
    expect(await page.evaluate(() => ({} as { polluted?: boolean }).polluted)).toBeUndefined();
    expect(trouble).toEqual([]);
    // A right-to-left override does not reach what is around it.
    await page.goto(`${served.origin}/studio/categories/hostile?tab=messages`);
    await page.locator(".mark").filter({ hasText: "RLO" }).first().waitFor();
    await page.locator(".mark").filter({ hasText: "ZWSP" }).first().waitFor();
  });

  test("fits a phone: nothing is to be scrolled to the side", async () => {
    const { page, trouble } = await open("/", { viewport: PHONE, hasTouch: true });
    for (const [name, [path, text]] of Object.entries(views())) {
      await page.goto(`${served.origin}/studio${path}`);
      await page.getByText(text).first().waitFor({ state: "attached" });
      const width = await page.evaluate(() =>
        Math.max(
          document.documentElement.scrollWidth,
          document.querySelector("main")!.scrollWidth,
        )
      );
      expect(width, name).toBeLessThanOrEqual(PHONE.width);
      const bars = await page.locator(".json-bar").evaluateAll((all) =>
        all.filter((it) => it.scrollWidth > it.clientWidth).map((it) => it.textContent)
      );
      expect(bars, name).toEqual([]);
    }
    expect(trouble).toEqual([]);
  });

  test("asks the server for one thing a second at most, and for nothing while nobody sees it", async () => {
    const context = await newContext(served.browser);
    const page = await context.newPage();
    await page.clock.install();
    const asked = await countAsked(page);
    // With each look, the consumer has moved, and has parked one more: then the page asks for both anew.
    let moved = 0;
    await page.route("**/api/consumers", async (route) => {
      const answer = await (await route.fetch()).json();
      moved++;
      for (const it of answer.consumers) {
        Object.assign(it, { position: it.position + moved, parked: it.parked + moved });
      }
      await route.fulfill({ json: answer });
    });
    await page.goto(`${served.origin}/studio/consumers/account%3Aposition-balances`);
    await page.getByText("and not a number").first().waitFor();
    const views = ["consumers", "nextMessage", "parked", "pulse"];
    const seen = new Set<string>();
    const haveAllAsked = (names: readonly string[]) => {
      for (const name of names) seen.add(name);
      return views.every((it) => seen.has(it));
    };
    await until(async () => haveAllAsked(await asked()));
    await page.clock.pauseAt(Date.now() + 60_000);
    await asked();
    for (let round = 1; round <= 3; round++) {
      seen.clear();
      await until(async () => {
        await page.clock.runFor(1000);
        const names = await asked();
        expect(names.length).toBeLessThan(2);
        return haveAllAsked(names);
      });
    }
    expect(moved).toBeGreaterThan(2);
    await page.evaluate(() => Object.defineProperty(document, "hidden", { value: true }));
    await page.clock.runFor(5000);
    expect(await asked()).toEqual([]);
  });

  test("says what is wrong if the server does not answer, and goes on when it does", async () => {
    const { page } = await open("/all");
    await page.getByRole("row").nth(3).waitFor();
    await page.route("**/api/**", (route) => route.abort());
    await page.getByText("No answer").waitFor();
    await page.getByRole("link", { name: "Categories" }).click();
    await page.getByText("The studio does not answer").waitFor();
    await page.unroute("**/api/**");
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("row").filter({ hasText: "meter" }).waitFor();
    await page.route("**/api/findMessages", (route) =>
      route.fulfill({
        status: 403,
        contentType: "application/problem+json",
        body: JSON.stringify({ title: "Forbidden", status: 403, detail: "not for you" }),
      }));
    await page.getByRole("link", { name: "All messages" }).click();
    await page.getByText("Not allowed").waitFor();
    await page.getByText("not for you").waitFor();
  });

  test.each([
    ["/", ["activity", "consumers", "diagnose", "open", "pulse", "storeStatus"], true],
    ["/all", ["findMessages", "open", "pulse"], false],
    ["/categories", ["open", "pulse", "storeStatus"], false],
  ])("asks for no more than it shows, and loads plots only where they are: %s", async (
    path,
    operations,
    hasPlots,
  ) => {
    const { page } = await open("/nowhere");
    await page.getByText("There is no such page").waitFor();
    const asked = new Set<string>();
    page.on("request", (request) => asked.add(new URL(request.url()).pathname));
    await page.goto(`${served.origin}/studio${path}`);
    await page.locator('[role="row"][tabindex], .plot canvas').first().waitFor();
    const ofApi = [...asked].flatMap((it) => /\/api\/(.*)$/.exec(it)?.[1] ?? []);
    expect(ofApi.sort()).toEqual(operations);
    expect([...asked].some((it) => /plot_drawing/.test(it))).toBe(hasPlots);
  });
});

/** The position of the last row that is made. */
async function lastPosition(page: Page): Promise<number> {
  const text = await page.locator('[role="row"][tabindex]').last().locator('[role="cell"]').first()
    .textContent();
  return Number(text!.replaceAll(",", ""));
}

/** The letters of a text, without what is hidden in it. */
function letters(text: string | null): string {
  return text!.replace(/[^\p{L}\p{N}]/gu, "");
}
