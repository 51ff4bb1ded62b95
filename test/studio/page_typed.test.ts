/** What one types into the page of the studio, and what it says when that is wrong. */
import { drain, type Message, writeBatch } from "@messagedb/client";
import { studio } from "@messagedb/client/studio";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { describeInBrowser } from "../_describe_in_browser.ts";
import { eventually } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { sentBy, useStudio } from "./_browse.ts";

describeInBrowser("the page of the studio, where one types", () => {
  const db = useDatabase();

  const { open } = useStudio(async () => {
    await writeBatch(db.sql, "typed-1", [{ type: "A" }, { type: "B" }, { type: "C" }]);
    await drain(db.sql, { category: "typed", consumerId: "reader", handle: (_: Message) => {} });
    // Longer ago than a time can be asked for.
    await db.sql`update message_store.messages set time = '0100-01-01 BC' where type = 'A'`;
    return studio(db.sql, { authorize: () => true, readOnly: false });
  });

  test.each([
    ["Jump to a global position or a time", "tomorrow-ish", "a position, or a time"],
    ["Jump to a global position or a time", "-1", "a position, or a time"],
    ["Since a time", "blah", "a time"],
    ["Since a time", "25:00", "a time"],
    ["Until a time", "2026-02-31", "a time"],
    ["Until a time", "200000 w", "a time of the years 1 to 9999"],
  ])("says what is wrong and what is taken: %s, %s", async (label, typed, wanted) => {
    const { page } = await open("/all");
    const field = page.getByLabel(label);
    await field.fill(typed);
    await field.press("Enter");
    const said = await descriptionOf(page, label);
    expect(said).toContain(`Cannot read "${typed}" as ${wanted}`);
    expect(said).toContain("2026-01-31 12:00");
    expect(await field.getAttribute("aria-invalid")).toBe("true");
    expect(new URL(page.url()).search).toBe("");
    await field.fill("2 h");
    await page.getByText("Cannot read").waitFor({ state: "detached" });
    expect(await field.getAttribute("aria-invalid")).toBe("false");
    await field.press("Enter");
    await page.waitForURL(/=20\d\d-/);
  });

  test("says why a consumer cannot be rewound to what one has typed", async () => {
    const { page } = await open(`/consumers/${encodeURIComponent("typed/reader")}`);
    const { sent } = sentBy(page, "planRewind");
    await page.getByRole("button", { name: "Rewind…" }).click();
    const position = "Global position of the first message to handle";
    await page.getByRole("button", { name: /Rewind it to \d/ }).waitFor();
    for (const wrong of ["-1", "1.5", "first"]) {
      await page.getByLabel(position).fill(wrong);
      await page.getByText(`Cannot read "${wrong}" as a position`).waitFor();
      expect(await descriptionOf(page, position)).toContain("a whole number from 0");
    }
    await page.getByLabel(position).fill("");
    await page.getByText("Type a whole number from 0").waitFor();
    await page.getByRole("radio", { name: "a time" }).check();
    const time = "Messages written then or later";
    expect(await descriptionOf(page, time)).toContain("Type 2 h, 15 min");
    await page.getByLabel(time).fill("2026-02-31");
    await page.getByText('Cannot read "2026-02-31" as a time').waitFor();
    expect(await page.getByLabel(time).getAttribute("aria-invalid")).toBe("true");
    expect(await descriptionOf(page, time)).toContain("2026-01-31 12:00");
    expect(await page.getByRole("button", { name: "Rewind it" }).isDisabled()).toBe(true);
    await page.getByLabel(time).fill("2 h");
    await page.getByText(/2 messages handled again/).waitFor();
    expect(sent).toHaveLength(2);
  });

  test("does nothing by an Enter that ends what an input method composes", async () => {
    const { page } = await open("/categories");
    await page.keyboard.press("/");
    const search = page.getByRole("combobox", { name: "Go to" });
    const compose = (key: string) => search.dispatchEvent("keydown", { key, isComposing: true });
    await search.fill("typed-1");
    await compose("Enter");
    await compose("Escape");
    expect(await search.inputValue()).toBe("typed-1");
    expect(await search.evaluate((it) => it === document.activeElement)).toBe(true);
    await search.press("Enter");
    await page.waitForURL("**/streams/typed-1");
    const text = page.getByLabel("Text in the data");
    await text.fill("a");
    await text.dispatchEvent("keydown", { key: "Enter", isComposing: true });
    expect(new URL(page.url()).search).toBe("");
    await text.press("Enter");
    await page.waitForURL("**/streams/typed-1?text=a");
  });

  test("says of a position of the URL that it is none", async () => {
    const { page } = await open("/all?position=-1");
    await page.getByText('Cannot use "-1" as "startAt": it must be a position').waitFor();
  });

  test("counts all messages over time, though one is of a year that cannot be asked for", async () => {
    const { page, trouble } = await open("/");
    const { sent } = sentBy(page, "activity");
    await page.getByRole("group", { name: "Span" }).getByRole("button", { name: "All" }).click();
    const first = expect.objectContaining({ since: "0001-01-01T00:00:00.000Z" });
    await eventually(() => expect(sent).toContainEqual(first));
    await page.getByRole("img", { name: /^\d messages in this span$/ }).waitFor();
    expect(trouble).toEqual([]);
  });
});

/** The text that a field names by `aria-describedby`. */
function descriptionOf(page: Page, label: string): Promise<string> {
  return page.getByLabel(label).evaluate((field) => {
    const id = field.getAttribute("aria-describedby") ?? "";
    return document.getElementById(id)?.textContent ?? "";
  });
}
