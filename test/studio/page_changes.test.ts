/** What the page of the studio changes: once, by whom it is allowed, and with what came of it told. */
import { drain, readStream, write, writeBatch } from "@messagedb/client";
import { studio } from "@messagedb/client/studio";
import type { Page } from "playwright-core";
import { expect, onTestFinished, test } from "vitest";
import { describeInBrowser } from "../_describe_in_browser.ts";
import { eventually } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { hold, sentBy, serveStudio, useStudio } from "./_browse.ts";

describeInBrowser("the page of the studio, when it changes something", () => {
  const db = useDatabase();

  const { open } = useStudio(async () => {
    for (const category of ["some", "one", "all", "two"]) {
      await writeBatch(db.sql, `${category}-1`, [{ type: "Came" }, { type: "Went" }]);
      await drain(db.sql, { ...reader(category), handle: () => "park" });
    }
    await write(db.sql, "some-1", { type: "Waits" });
    await write(db.sql, "two-1", { type: "Waits" });
    return studio(db.sql, {
      authorize: () => true,
      readOnly: false,
      consumers: [reader("all"), reader("some")],
    });
  });

  /** Opens the dialog to write to a stream, with a message in it. */
  const openWrite = async (streamName: string, before?: (page: Page) => Promise<unknown>) => {
    const { page } = await open(`/streams/${streamName}`);
    await before?.(page);
    await page.getByRole("button", { name: "Write a message" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Type").fill("Noted");
    return {
      page,
      dialog,
      data: dialog.getByLabel("Data, as JSON", { exact: true }),
      act: dialog.getByRole("button", { name: "Write it" }),
      ...sentBy(page, "write"),
    };
  };

  const dataOf = async (streamName: string) =>
    (await readStream(db.sql, streamName)).map(({ data }) => data);

  test("writes once what is sent again because the answer was lost", async () => {
    const { page, dialog, act } = await openWrite("lost-1", async (page) => {
      // As on a page that was loaded over plain HTTP.
      await page.evaluate(() => Object.defineProperty(crypto, "randomUUID", { value: undefined }));
      await loseOneAnswer(page, "write");
    });
    await act.click();
    await dialog.getByRole("alert").filter({ hasText: "does not answer" }).waitFor();
    await dialog.getByText("it is written once").waitFor();
    await dialog.getByLabel("Expected version").fill("-1");
    await act.click();
    await page.getByText("Written at position 0").waitFor();
    expect(await dataOf("lost-1")).toEqual([{}]);
  });

  test("writes what was changed after the answer was lost, and says that it is one more", async () => {
    const { page, dialog, data, act } = await openWrite(
      "lost-2",
      (page) => loseOneAnswer(page, "write"),
    );
    await act.click();
    await dialog.getByText("it is written once").waitFor();
    await data.fill('{"b":2}');
    await dialog.getByText("would be one more").waitFor();
    await data.fill(" { } ");
    await dialog.getByText("it is written once").waitFor();
    await data.fill('{"b":2}');
    await act.click();
    await page.getByText("Written at position 1").waitFor();
    expect(await dataOf("lost-2")).toEqual([{}, { b: 2 }]);
  });

  test("says nothing of a message that may be written if it was refused", async () => {
    const { dialog, act } = await openWrite("lost-3");
    await dialog.getByLabel("Expected version").fill("7");
    await act.click();
    await dialog.getByRole("alert").filter({ hasText: "expected version 7" }).waitFor();
    expect(await dialog.getByText(/it is written once|one more/).count()).toBe(0);
  });

  test("writes the same message twice for whoever writes it twice", async () => {
    const { page, dialog, act, sent } = await openWrite("twice-1");
    await act.click();
    await page.getByText("Written at position 0").waitFor();
    await page.getByRole("button", { name: "Write a message" }).click();
    await dialog.getByLabel("Type").fill("Noted");
    await act.click();
    await page.getByText("Written at position 1").waitFor();
    const [first, second] = sent as { readonly id?: string }[];
    expect(first!.id).toMatch(/^[\da-f-]{36}$/);
    expect(second!.id).not.toBe(first!.id);
  });

  test("says what has failed though its dialog was closed meanwhile", async () => {
    const { page, dialog, act } = await openWrite("late-1");
    const release = await hold(page, "write");
    await dialog.getByLabel("Expected version").fill("7");
    await act.click();
    await dialog.getByRole("button", { name: "Working…" }).waitFor();
    await dialog.getByRole("button", { name: "Close" }).last().click();
    await dialog.waitFor({ state: "detached" });
    release();
    const said = page.locator(".said").filter({ hasText: "expected version 7" });
    await said.waitFor();
    expect(await said.textContent()).toContain("Write a message");
  });

  test("says what was replayed though its dialog was closed meanwhile, and more is parked", async () => {
    const { page } = await open("/consumers/all%3Aposition-reader");
    await page.route(
      "**/api/replayParked",
      (route) => route.fulfill({ json: { replayed: 1000, parked: 3, busy: false } }),
    );
    const release = await hold(page, "replayParked");
    await page.getByRole("button", { name: "Replay all…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Replay" }).click();
    await dialog.getByRole("button", { name: "Close" }).last().click();
    await dialog.waitFor({ state: "detached" });
    release();
    await page.locator(".said").getByText(
      "Replayed 1,000 messages, 3 of them parked again. More may be parked",
    ).waitFor();
  });

  test.each([
    ["replayParked", ["Replay all…"], true],
    ["discardParked", ["Discard…"], true],
    ["rewind", ["Rewind…"], false],
    ["skip", ["Skip…"], false],
    ["park", ["Park…"], false],
    ["write", [], false],
  ])("offers no more than is allowed: %s", async (allowed, names, choosesParked) => {
    const { origin, stop } = await serveStudio(studio(db.sql, {
      authorize: (_, { operation, writes }) => !writes || operation === allowed,
      readOnly: false,
      consumers: [reader("some")],
    }));
    onTestFinished(stop);
    const { page } = await open("/consumers/some%3Aposition-reader", { origin });
    await page.locator(".next").getByText("Waits").waitFor();
    await page.getByRole("row").filter({ hasText: "Went" }).waitFor();
    const offered = page.getByRole("button", { name: /replay|discard|rewind|park|skip/i });
    await eventually(async () => expect(await offered.allTextContents()).toEqual(names));
    expect(await page.getByLabel("All shown").count()).toBe(choosesParked ? 1 : 0);
    expect(await page.getByLabel("Choose Came of some-1").count()).toBe(choosesParked ? 1 : 0);
    await page.goto(`${origin}/streams/some-1`);
    await page.getByRole("row").filter({ hasText: "Waits" }).waitFor();
    const writing = page.getByRole("button", { name: "Write a message" });
    expect(await writing.count()).toBe(allowed === "write" ? 1 : 0);
  });

  test.each([["discardParked", 0], ["replayParked", 1]])(
    "says how to replay to whom it is allowed: %s",
    async (allowed, count) => {
      const { origin, stop } = await serveStudio(studio(db.sql, {
        authorize: (_, { operation, writes }) => !writes || operation === allowed,
        readOnly: false,
      }));
      onTestFinished(stop);
      const { page } = await open("/consumers/some%3Aposition-reader", { origin });
      await page.getByRole("row").filter({ hasText: "Went" }).waitFor();
      expect(await page.getByText("was not given it").count()).toBe(count);
      expect(await page.getByLabel("All shown").count()).toBe(1 - count);
    },
  );

  test("gives the focus back to the row of a message that is closed", async () => {
    const { page } = await open("/streams/some-1");
    const row = page.getByRole("row").filter({ hasText: "Went" });
    const close = page.getByRole("complementary").getByRole("button", { name: "Close" });
    const isAtRow = () => eventually(async () => expect(await focusedText(page)).toMatch(/Went/));
    await row.focus();
    await page.keyboard.press("Enter");
    await close.focus();
    await page.keyboard.press("Enter");
    await close.waitFor({ state: "detached" });
    await isAtRow();
    // Also if the message was open from the beginning, and by another key.
    await page.goBack();
    await page.reload();
    await close.focus();
    await page.keyboard.press("Escape");
    await close.waitFor({ state: "detached" });
    await isAtRow();
    await page.keyboard.press("k");
    await eventually(async () => expect(await focusedText(page)).toMatch(/Waits/));
  });

  test("leaves the focus where one has put it when a message is closed", async () => {
    const { page } = await open("/streams/some-1");
    await page.getByRole("row").filter({ hasText: "Went" }).click();
    await page.getByRole("complementary").waitFor();
    await page.getByLabel("Order").focus();
    await page.keyboard.press("Escape");
    await page.getByRole("complementary").waitFor({ state: "detached" });
    expect(await page.evaluate(() => document.activeElement?.ariaLabel)).toBe("Order");
  });

  test.each([["one", 1], ["two", 2]])(
    "gives the focus to the heading when what is chosen is discarded: of %s, %s",
    async (category, count) => {
      const { page } = await open(`/consumers/${category}%3Aposition-reader`);
      const boxes = page.getByLabel(`of ${category}-1`);
      for (let at = 0; at < count; at++) await boxes.nth(at).check();
      await page.getByRole("button", { name: `Discard ${count}…` }).focus();
      await page.keyboard.press("Enter");
      await page.getByLabel("Reason, which is kept").fill("a test");
      await page.keyboard.press("Enter");
      await page.getByText(`Discarded ${quantityOf(count)}`).waitFor();
      await page.getByRole("dialog").waitFor({ state: "detached" });
      await eventually(async () => expect(await boxes.count()).toBe(2 - count));
      expect(await focusedText(page)).toBe("Parked messages");
    },
  );

  test("gives the focus to the heading when all that was parked is gone", async () => {
    const { page } = await open("/consumers/all%3Aposition-reader");
    const opener = page.getByRole("button", { name: "Replay all…" });
    await opener.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").getByRole("button", { name: "Replay" }).focus();
    await page.keyboard.press("Enter");
    await opener.waitFor({ state: "detached" });
    await eventually(async () => expect(await focusedText(page)).toBe("Parked messages"));
  });

  test("gives the focus to the heading when the message that was skipped was the last", async () => {
    const { page } = await open("/consumers/two%3Aposition-reader");
    const opener = page.getByRole("button", { name: "Skip…" });
    await opener.focus();
    await page.keyboard.press("Enter");
    await page.getByLabel("Reason, which is kept").fill("a test");
    await page.keyboard.press("Enter");
    await opener.waitFor({ state: "detached" });
    await eventually(async () => expect(await focusedText(page)).toBe("Next message"));
  });
});

function reader(category: string) {
  return { category, consumerId: "reader", handle: () => {} };
}

function quantityOf(count: number): string {
  return count === 1 ? "1 message" : `${count} messages`;
}

function focusedText(page: Page): Promise<string | null | undefined> {
  return page.evaluate(() =>
    document.activeElement === document.body ? "nothing" : document.activeElement?.textContent
  );
}

/** Lets the server do what it is asked next, and the page hear nothing of it. */
async function loseOneAnswer(page: Page, operation: string): Promise<void> {
  await page.route(`**/api/${operation}`, async (route) => {
    await route.fetch();
    await route.abort();
  }, { times: 1 });
}
