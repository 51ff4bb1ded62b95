/** What the page of the studio shows as time goes by, and while an answer is on its way. */
import { drain, readLastMessage, write, writeBatch } from "@messagedb/client";
import { studio } from "@messagedb/client/studio";
import { expect, test } from "vitest";
import { describeInBrowser } from "../_describe_in_browser.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { colorsOfPlot, hold, sentBy, useStudio } from "./_browse.ts";

describeInBrowser("the page of the studio, in time", () => {
  const db = useDatabase();

  const served = useStudio(async () => {
    const messages = Array.from({ length: 625 }, (_, at) => ({ type: "Moved", data: { at } }));
    await writeBatch(db.sql, "long-1", messages);
    await writeBatch(db.sql, "visit-1", [{ type: "Came" }, { type: "Left" }]);
    await drain(db.sql, { category: "visit", consumerId: "guests", handle: () => {} }, {
      limit: 1,
    });
    for (const [name, pad] of [["deep-1", ""], ["large-1", "x".repeat(70_000)]] as const) {
      await writeBatch(db.sql, name, [{ type: "Made", data: { pad, deep: deepOf(1) } }]);
      await writeBatch(db.sql, name, [{ type: "Changed", data: { deep: deepOf(2) } }]);
    }
    return studio(db.sql, { authorize: () => true });
  });
  const { open } = served;

  test("looks less often at a list to whose end nothing comes, while others are written", async () => {
    const { page } = await open("/streams/visit-1?direction=forward");
    await page.getByText("The end").waitFor();
    await page.locator(".beat").filter({ hasText: "Live" }).waitFor();
    const looks = sentBy(page, "findMessages");
    const pulses = sentBy(page, "pulse");
    await until(async () => {
      await write(db.sql, "bustle-1", { type: "Moved" });
      return pulses.sent.length >= 12;
    });
    expect(looks.sent.length).toBeGreaterThan(0);
    // Without a pause, it looks as often as it asks for the head.
    expect(looks.sent.length).toBeLessThanOrEqual(6);
  });

  test("keeps the slider of an entity, and its focus, while other states are read", async () => {
    const { page } = await open("/entities/long-1");
    const slider = page.getByRole("slider", { name: "Position" });
    await page.getByText("State after position 624").waitFor();
    const release = await hold(page, "states");
    await slider.focus();
    await page.keyboard.press("Home");
    await page.getByText("0 of 624").waitFor();
    await page.locator(".panel").getByText("Folding the messages").waitFor();
    expect(await page.locator(".panel").getByText("State after").count()).toBe(0);
    await page.keyboard.press("End");
    // What is known is shown at once.
    await page.getByText("State after position 624").waitFor();
    await page.keyboard.press("Home");
    await page.keyboard.press("ArrowRight");
    await page.waitForURL(/position=1$/);
    release();
    await page.getByText("State after position 1", { exact: true }).waitFor();
    expect(await slider.evaluate((it) => it === document.activeElement)).toBe(true);
    await page.keyboard.press("End");
    await page.getByText("State after position 624").waitFor();
    await page.waitForURL(/position=624$/);
  });

  test("marks what has changed thousands of levels deep", async () => {
    const { page, trouble } = await open("/entities/deep-1");
    await page.getByText("which has changed 1 value").waitFor();
    await page.getByRole("region", { name: "State after position 1, 20,004 lines" }).waitFor();
    expect(trouble).toEqual([]);
  });

  test("does not say of a state that is cut that nothing has changed", async () => {
    const { page } = await open("/entities/large-1");
    await page.getByText("which has changed nothing in what is shown").waitFor();
  });

  test("asks for the states at the position at which one stops, and not on the way", async () => {
    const { page } = await open("/all");
    await page.clock.install();
    await page.goto(`${served.origin}/entities/long-1?position=624`);
    await page.getByText("State after position 624").waitFor();
    const { sent } = sentBy(page, "states");
    await page.clock.pauseAt(Date.now() + 60_000);
    for (let position = 300; position >= 20; position -= 40) {
      await page.getByRole("slider", { name: "Position" }).fill(String(position));
      await page.clock.runFor(100);
    }
    await page.clock.runFor(1000);
    await page.getByText("State after position 20", { exact: true }).waitFor();
    await page.waitForURL(/position=20$/);
    expect(sent).toMatchObject([{ position: 20 }]);
  });

  test("names no number of new messages while a list is paused: those of the store are not those of the list", async () => {
    const { page } = await open("/streams/long-1");
    const live = page.locator("button.live");
    await page.getByRole("row").nth(3).waitFor();
    await live.click();
    await write(db.sql, "elsewhere-1", { type: "Moved" });
    const { globalPosition } = (await readLastMessage(db.sql, "elsewhere-1"))!;
    // The second answer comes after the page has shown the first one.
    for (let seen = 0; seen < 2; seen++) {
      await page.waitForResponse(async (response) =>
        response.url().endsWith("/api/pulse") &&
        (await response.json()).heads[0] >= globalPosition
      );
    }
    expect(await live.textContent()).toBe("Paused");
  });

  test("counts what comes, over time, again each minute, and keeps the chart meanwhile", async () => {
    const { page } = await open("/all");
    await page.clock.install();
    await page.goto(served.origin);
    await page.getByRole("button", { name: "15 min" }).click();
    const chart = page.getByRole("img", { name: /messages? in this span/ });
    await chart.locator("canvas").waitFor();
    const before = await chart.getAttribute("aria-label");
    const { sent } = sentBy(page, "activity");
    const release = await hold(page, "activity");
    await write(db.sql, "elsewhere-1", { type: "Moved" });
    await page.clock.fastForward(60_000);
    await until(() => sent.length > 0);
    expect(await chart.locator("canvas").count()).toBe(1);
    release();
    await until(async () => await chart.getAttribute("aria-label") !== before);
    // Another span is no chart that one has.
    const releaseOther = await hold(page, "activity");
    await page.getByRole("button", { name: "7 d" }).click();
    await chart.waitFor({ state: "detached" });
    releaseOther();
    await chart.waitFor();
  });

  test("draws the first value of a plot at once, as a point", async () => {
    const { page } = await open("/all", {
      colorScheme: "light",
    });
    // One answer is all that it gets.
    let answers = 0;
    await page.route(
      "**/api/consumers",
      (route) => answers++ === 0 ? route.continue() : undefined,
    );
    await page.goto(`${served.origin}/consumers/visit%3Aposition-guests`);
    await until(async () => (await colorsOfPlot(page)).includes("47,95,208"));
  });

  test("leads from a type with a comma to its messages", async () => {
    await writeBatch(db.sql, "odd-1", [{ type: "Odd, and more" }, { type: "Odd" }]);
    const { page } = await open("/categories/odd?tab=types");
    await page.getByRole("row").filter({ hasText: "Odd, and more" }).click();
    await page.getByText("The end").waitFor();
    const row = page.getByRole("row").filter({ hasText: "odd-1" });
    expect(await row.allTextContents()).toEqual([expect.stringContaining("Odd, and more")]);
  });
});

/** A number, 10,000 levels deep. */
function deepOf(number: number): object {
  let deep: object = { number };
  for (let level = 1; level < 10_000; level++) deep = { a: deep };
  return deep;
}
