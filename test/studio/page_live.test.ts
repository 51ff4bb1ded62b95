/** What the page of the studio says when what is to be live is not, and to whom the head of the store is not shown. */
import { category, readMessage, write } from "@messagedb/client";
import { studio, type StudioCall } from "@messagedb/client/studio";
import { expect, onTestFinished, test } from "vitest";
import { describeInBrowser } from "../_describe_in_browser.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { countAsked, serveStudio, useStudio } from "./_browse.ts";

const PHONE = { width: 390, height: 844 };

describeInBrowser("the page of the studio, live", () => {
  const db = useDatabase();

  const served = useStudio(() => studio(db.sql, { authorize: () => true }));
  const { open } = served;

  /** Writes messages until it is so. */
  const writeUntil = async (streamName: string, isSo: () => Promise<boolean>) => {
    let number = 0;
    await until(async () => {
      await write(db.sql, streamName, { type: `Number${number++}` });
      return await isSo();
    });
  };

  test.each([["a screen", {}], ["a phone", { viewport: PHONE, hasTouch: true }]])(
    "says on %s that a list is not live, and why, until it is again",
    async (_, options) => {
      await write(db.sql, "mute-1", { type: "Before" });
      const { page } = await open("/all", options);
      await page.getByRole("row").filter({ hasText: "Before" }).first().waitFor();
      await page.locator(".beat").filter({ hasText: "Live" }).waitFor({ state: "attached" });
      await page.route("**/api/findMessages", (route) =>
        route.fulfill({
          status: 503,
          contentType: "application/problem+json",
          body: JSON.stringify({ title: "Service Unavailable", detail: "The store is away" }),
        }));
      const said = page.getByRole("status").filter({ hasText: "Not live: The store is away" });
      await writeUntil("mute-1", () => said.isVisible());
      const { x, width } = (await said.boundingBox())!;
      expect(x + Math.min(width, 60)).toBeLessThanOrEqual(page.viewportSize()!.width);
      await page.unroute("**/api/findMessages");
      await write(db.sql, "mute-1", { type: `After${page.viewportSize()!.width}` });
      await said.waitFor({ state: "detached" });
      await page.getByRole("row").filter({ hasText: `After${page.viewportSize()!.width}` })
        .waitFor();
    },
  );

  test("says of a list that is paused nothing of what it does not read", async () => {
    await write(db.sql, "mute-1", { type: "Before" });
    const { page } = await open("/streams/mute-1");
    await page.getByRole("row").filter({ hasText: "Before" }).first().waitFor();
    await page.route("**/api/findMessages", (route) => route.abort());
    const said = page.getByText("Not live: The studio does not answer");
    await writeUntil("mute-1", () => said.isVisible());
    await page.getByRole("button", { name: "Live" }).click();
    await said.waitFor({ state: "detached" });
  });

  test.each([["a screen", {}], ["a phone", { viewport: PHONE, hasTouch: true }]])(
    "does not wait for ever for an answer: on %s",
    async (_, options) => {
      const { page } = await open("/nowhere", options);
      await page.clock.install();
      await page.reload();
      const beat = page.locator(".beat");
      await beat.filter({ hasText: "Live" }).waitFor({ state: "attached" });
      let unanswered = 0;
      let isMute = false;
      await page.route("**/api/**", async (route) => {
        unanswered++;
        if (isMute) return;
        await route.fulfill({ response: await route.fetch() });
        unanswered--;
      });
      await page.goto(`${served.origin}/streams/mute-1`);
      await beat.filter({ hasText: "Live" }).waitFor({ state: "attached" });
      await page.clock.pauseAt(Date.now() + 60_000);
      // The jump of the clock may be too long for an answer that was on its way.
      await until(async () => {
        if (unanswered > 0) return false;
        await page.clock.runFor(1000);
        return unanswered === 0 && await beat.textContent() === "Live";
      });
      isMute = true;
      let isLeft = false;
      page.on("requestfailed", () => isLeft = true);
      const asked = await countAsked(page);
      await until(async () => {
        await page.clock.runFor(1000);
        return (await asked()).length > 0;
      });
      await page.clock.runFor(9000);
      expect(await beat.textContent()).toBe("Live");
      await page.clock.runFor(5000);
      await beat.filter({ hasText: "No answer" }).waitFor();
      // Else the browser would have no connection left for what comes.
      expect(isLeft).toBe(true);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      expect(width).toBeLessThanOrEqual(page.viewportSize()!.width);
      await until(async () => {
        await page.clock.runFor(1000);
        return await page.getByText("Not live: The studio does not answer").isVisible();
      });
      await page.unroute("**/api/**");
      await until(async () => {
        await page.clock.runFor(1000);
        return await beat.textContent() === "Live" &&
          await page.getByText("Not live").count() === 0;
      });
    },
  );

  test("shows one category to whom no more is allowed, live, and says what is not allowed", async () => {
    const operations = ["findMessages", "streams", "states", "messageTypes"];
    const authorize = async (_: Request, call: StudioCall) => {
      if (call.operation === "open") return true;
      if (call.operation === "readMessage") {
        const message = await readMessage(db.sql, call.ids![0]!);
        return message !== null && category(message.streamName) === "own";
      }
      return operations.includes(call.operation) && call.category === "own";
    };
    const { origin, stop } = await serveStudio(studio(db.sql, { authorize }));
    onTestFinished(stop);
    await write(db.sql, "own-1", { type: "Before", data: { note: "of mine" } });
    const { page } = await open("/categories/own?tab=messages", { origin });
    const beat = page.locator(".beat");
    await beat.filter({ hasText: "Not allowed" }).waitFor();
    expect(await beat.getAttribute("title")).toContain("pulse");
    const row = (text: string) => page.getByRole("row").filter({ hasText: text });
    // More often than a list looks that waits for what comes late.
    for (const type of ["First", "Second", "Third", "Fourth"]) {
      await write(db.sql, "own-1", { type });
      await row(type).waitFor();
    }
    expect(await page.getByText("Not live").count()).toBe(0);
    await row("Before").click();
    await page.getByRole("complementary").getByText("of mine").waitFor();
    await write(db.sql, "other-1", { type: "Secret" });
    const [other] = await db.sql`select id from message_store.messages where type = 'Secret'`;
    await page.goto(`${origin}/messages/${other!["id"]}`);
    await page.getByText("Cannot call readMessage").waitFor();
    expect(await page.getByText("Secret").count()).toBe(0);
  });
});
