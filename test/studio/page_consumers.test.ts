/** What the page of the studio says of consumers, and does to them: exactly what one sees. */
import { drain, type Message, write, writeBatch } from "@messagedb/client";
import { consumers, type ConsumerStatus, discardParked, parked } from "@messagedb/client/operate";
import { studio } from "@messagedb/client/studio";
import type { Locator, Page } from "playwright-core";
import { expect, test } from "vitest";
import { describeInBrowser } from "../_describe_in_browser.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { hold, sentBy, useStudio } from "./_browse.ts";

type ConsumerRow = { -readonly [Name in keyof ConsumerStatus]: ConsumerStatus[Name] };

/** More than are shown, replayed or discarded at once. */
const PARKED = 1204;

describeInBrowser("the page of the studio, about consumers", () => {
  const db = useDatabase();

  const served = useStudio(async () => {
    // All are there before the first page looks: consumers are read again after some seconds only.
    for (const category of ["typed", "untouched", "timed", "passed", "changed"]) {
      await writeBatch(db.sql, `${category}-1`, messages(10));
      await drain(db.sql, reader(category));
    }
    await writeBatch(db.sql, "heap-1", messages(PARKED));
    await drain(db.sql, { ...reader("heap"), handle: () => "park" });
    await writeBatch(db.sql, "pair-1", messages(2));
    await drain(db.sql, { ...reader("pair"), handle: () => "park" });
    for (let number = 1; number <= 6; number++) {
      await write(db.sql, `team-${number}`, messages(1)[0]!);
    }
    await drain(db.sql, { ...reader("team"), consumerGroup: { size: 2 } });
    await write(db.sql, "far-0", { type: "Came" });
    await drain(db.sql, { ...reader("far"), consumerGroup: { size: 2 } });
    for (let number = 0; number < 10; number++) {
      await writeBatch(db.sql, `far-${number}`, messages(130));
    }
    return studio(db.sql, {
      authorize: () => true,
      readOnly: false,
      consumers: [{ ...reader("heap"), handle: parkLast }, reader("pair")],
    });
  });
  const { open } = served;

  /** Opens the dialog to rewind a category's consumer. */
  const openRewind = async (category: string) => {
    const { page } = await open(`/consumers/${category}%3Aposition-reader`);
    await page.getByRole("button", { name: "Rewind…" }).click();
    return {
      page,
      ...sentBy(page, "rewind"),
      act: page.getByRole("button", { name: "Rewind it" }),
    };
  };

  const positionsOf = async (streamName: string) => {
    const rows = await db.sql`
        select data ->> 'position' as position
        from message_store.messages where stream_name = ${streamName} order by position desc`;
    return rows.map((it) => Number(it["position"]));
  };

  test("says of what was not counted to the end that there is more", async () => {
    const { page } = await open("/");
    const tile = page.locator(".tile").filter({ hasText: "Parked" });
    await tile.getByText("1,002+", { exact: true }).waitFor();
    await page.getByText("1,000+ parked").waitFor();
    for (const { behind } of await consumers(db.sql, { category: "far" })) {
      expect(behind).toBeLessThan(1000);
      await page.getByRole("row").getByText(`${behind}+ messages behind`).first().waitFor();
    }
  });

  test("plots positions if more messages wait than are counted", async () => {
    const members = await consumers(db.sql, { category: "far" });
    const text = (count: number) => count.toLocaleString("en");
    const behind = text(members.reduce((sum, it) => sum + it.behind, 0));
    const distance = text(Math.max(...members.map(({ head, position }) => head - position)));
    const { page } = await open("/consumers/far%2Freader");
    await page.getByRole("img", { name: `${behind}+ messages behind, ${distance} positions now` })
      .waitFor();
    await page.getByText("in positions of the store").waitFor();
    await page.locator(".u-legend").getByText("positions behind")
      .waitFor({ state: "attached" });
    // What is counted to the end is plotted as it is.
    await page.goto(`${served.origin}/consumers/passed%3Aposition-reader`);
    await page.getByRole("img", { name: /^\d+ messages? behind now$/ }).waitFor();
    await page.locator(".u-legend").getByText("messages behind")
      .waitFor({ state: "attached" });
  });

  test("rewinds to what was chosen last, and not before one sees what that means", async () => {
    const { page, sent, act } = await openRewind("typed");
    const input = page.getByLabel("Global position of the first message to handle");
    await page.getByRole("button", { name: /Rewind it to \d/ }).waitFor();
    const release = await hold(page, "planRewind");
    const said = await textsOf(page, act);
    await input.fill("3");
    await input.press("Enter");
    await page.getByLabel("the beginning").check();
    await act.evaluate((it: HTMLButtonElement) => it.click());
    await page.getByRole("radio", { name: "a position" }).check();
    await input.fill("4");
    await input.press("Enter");
    release();
    await page.getByRole("button", { name: "Rewind it to 4" }).waitFor();
    expect(sent).toEqual([]);
    // It never names a position that is not chosen any more.
    expect(await said()).toEqual(["Rewind it", "Rewind it to 4"]);
    await input.press("Enter");
    await page.getByText("The consumer goes on at 4").waitFor();
    expect(sent).toMatchObject([{ position: 4 }]);
  });

  test("rewinds to what one chooses, also if one chooses as the preview comes", async () => {
    const { page } = await open("/consumers/untouched%3Aposition-reader");
    await page.getByRole("button", { name: "Rewind…" }).waitFor();
    await page.evaluate(() => {
      // Before the browser has painted the preview.
      const observer = new MutationObserver(() => {
        const dialog = document.querySelector("dialog");
        if (!/Rewind it to \d/.test(dialog?.textContent ?? "")) return;
        observer.disconnect();
        dialog!.querySelector<HTMLInputElement>("input[type=radio]")!.click();
      });
      observer.observe(document, { childList: true, subtree: true, characterData: true });
    });
    await page.getByRole("button", { name: "Rewind…" }).click();
    await page.getByRole("button", { name: "Rewind it to 1" }).waitFor();
    expect(await page.getByRole("radio", { name: "the beginning" }).isChecked()).toBe(true);
  });

  test("begins with a rewind that changes nothing", async () => {
    const { page, act } = await openRewind("untouched");
    const [before] = await positionsOf("untouched:position-reader");
    await page.getByText("nothing is handled again, nothing is left out").waitFor();
    await act.click();
    await page.getByText(`The consumer goes on at ${before! + 1}`).waitFor();
    expect((await positionsOf("untouched:position-reader"))[0]).toBe(before);
  });

  test("begins with no position if the members of a group are at several", async () => {
    const { page } = await open("/all");
    await changeConsumers(page, (it) => it.position -= it.consumerGroup?.member ?? 0);
    await page.goto(`${served.origin}/consumers/team%2Freader`);
    await page.getByRole("button", { name: "Rewind…" }).click();
    const input = page.getByLabel("Global position of the first message to handle");
    expect(await input.inputValue()).toBe("");
    expect(await page.getByRole("button", { name: "Rewind it" }).isDisabled()).toBe(true);
    await input.fill("1");
    await page.getByRole("button", { name: "Rewind it to 1", exact: true }).waitFor();
  });

  test("keeps a time that was typed where one sees it", async () => {
    const { page, act } = await openRewind("timed");
    await page.getByRole("radio", { name: "a time" }).check();
    await page.getByLabel("Messages written then or later").fill("2 h");
    await page.getByText(/10 messages handled again/).waitFor();
    await page.getByLabel("the end").check();
    await page.getByText("nothing is handled again, nothing is left out").waitFor();
    await page.getByRole("radio", { name: "a time" }).check();
    expect(await page.getByLabel("Messages written then or later").inputValue()).toBe("2 h");
    await act.waitFor();
  });

  test("skips the message that one has agreed to, though the consumer goes on meanwhile", async () => {
    await write(db.sql, "passed-1", { type: "Agreed" });
    const { page } = await open("/consumers/passed%3Aposition-reader");
    const { sent } = sentBy(page, "skip");
    await page.getByRole("button", { name: "Skip…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Agreed").waitFor();
    await drain(db.sql, reader("passed"));
    await write(db.sql, "passed-1", { type: "Other" });
    await changeConsumers(page, (it) => it.position++);
    await page.locator(".next").getByText("Other").waitFor();
    expect(await dialog.getByText("Agreed").count()).toBe(1);
    await dialog.getByLabel("Reason, which is kept").fill("a test");
    await dialog.getByRole("button", { name: "Skip it" }).click();
    await dialog.getByRole("alert").waitFor();
    const [agreed] = await db.sql`select id from message_store.messages where type = 'Agreed'`;
    expect(sent).toMatchObject([{ id: agreed!["id"] }]);
  });

  test("looks at the consumers again as soon as one has changed something", async () => {
    await write(db.sql, "changed-1", { type: "Agreed" });
    const { page } = await open("/");
    await page.clock.install();
    await page.goto(`${served.origin}/consumers/changed%3Aposition-reader`);
    await page.locator(".next").getByText("Agreed").waitFor();
    await page.getByRole("button", { name: "Skip…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Reason, which is kept").fill("a test");
    const behind = page.getByRole("img", { name: "1 message behind now" });
    await behind.waitFor();
    await page.clock.pauseAt(Date.now() + 60_000);
    const { sent } = sentBy(page, "consumers");
    await until(async () => {
      await page.clock.runFor(1000);
      return sent.length > 0;
    });
    sent.length = 0;
    await dialog.getByRole("button", { name: "Skip it" }).click();
    await dialog.waitFor({ state: "detached" });
    // Less than the interval in which it is asked for.
    await page.clock.runFor(3000);
    await until(() => sent.length > 0);
    await until(async () => {
      await page.clock.runFor(100);
      return await behind.count() === 0;
    });
  });

  test("shows what is parked page by page, and discards what is chosen on a page", async () => {
    const { page } = await open("/consumers/heap%3Aposition-reader");
    const all = page.getByLabel("All shown");
    const rows = page.getByRole("region", { name: "Parked messages" }).locator("tbody tr");
    await page.getByText("The first 100 are shown").waitFor();
    expect(await rows.count()).toBe(100);
    await all.check();
    await page.getByRole("button", { name: "Discard 100…" }).waitFor();
    const more = page.getByRole("button", { name: "Show 1,000" });
    await more.focus();
    await page.keyboard.press("Enter");
    await page.getByText("The first 1,000 are shown").waitFor();
    // The list stays while the next one comes, and what was chosen stays chosen.
    await page.getByRole("button", { name: "Discard 100…" }).waitFor();
    await page.locator(":focus").filter({ hasText: "Show the next 1,000" }).waitFor();
    await page.keyboard.press("Enter");
    await page.getByText("204 are shown").waitFor();
    expect(await all.isChecked()).toBe(false);
    await all.check();
    await page.getByRole("button", { name: "Discard 204…" }).click();
    await page.getByLabel("Reason, which is kept").fill("a test");
    await page.getByRole("dialog").getByRole("button", { name: "Discard" }).click();
    await page.getByText("Discarded 204 messages").waitFor();
    await page.getByText("None after those that were shown").waitFor();
    expect(await page.getByText("are shown.").count()).toBe(0);
    await page.getByRole("button", { name: "Show the first" }).click();
    await page.getByText("The first 100 are shown").waitFor();
  });

  test("replays a thousand of what is parked, says so, and goes on", async () => {
    const { page } = await open("/consumers/heap%3Aposition-reader");
    const dialog = page.getByRole("dialog");
    await page.getByRole("button", { name: "Replay all…" }).click();
    await dialog.getByText(/^The first 1,000 of 1,000\+ parked messages of reader are/).waitFor();
    await dialog.getByRole("button", { name: "Replay" }).click();
    await dialog.getByText(
      "Replayed 1,000 messages, 100 of them parked again. More may be parked.",
    )
      .waitFor();
    await dialog.getByRole("button", { name: "Replay on" }).click();
    await page.getByText("Replayed 1,100 messages, 200 of them parked again").waitFor();
    await dialog.waitFor({ state: "detached" });
  });

  test("replays what was chosen, and nothing else, though another discards it meanwhile", async () => {
    const { page } = await open("/consumers/pair%3Aposition-reader");
    const { sent } = sentBy(page, "replayParked");
    const boxes = page.getByLabel("Choose Came of pair-1");
    await boxes.first().check();
    await page.getByRole("button", { name: "Replay 1…" }).click();
    const [first] = await parked(db.sql, reader("pair"));
    const ids = [first!.message.id];
    await discardParked(db.sql, reader("pair"), ids, { reason: "a test" });
    await changeConsumers(page, (it) => it.parked--);
    // What is gone is not chosen any more.
    await page.locator("button", { hasText: "Replay all…" }).waitFor();
    expect(await boxes.count()).toBe(1);
    await page.getByRole("dialog").getByRole("button", { name: "Replay" }).click();
    await page.getByText("Replayed 0 messages").waitFor();
    expect(sent).toMatchObject([{ ids }]);
  });
});

function reader(category: string) {
  return { category, consumerId: "reader", handle: () => {} };
}

/** Parks the last hundred of the first thousand again. */
function parkLast({ data }: Message) {
  const { at } = data as { readonly at: number };
  return at >= 900 && at < 1000 ? "park" : undefined;
}

function messages(count: number) {
  return Array.from({ length: count }, (_, at) => ({ type: "Came", data: { at } }));
}

/** Changes what the page is told of each consumer from now on. */
async function changeConsumers(page: Page, change: (it: ConsumerRow) => void): Promise<void> {
  await page.route("**/api/consumers", async (route) => {
    const answer = await (await route.fetch()).json();
    answer.consumers.forEach(change);
    await route.fulfill({ json: answer });
  });
}

/** What an element says from now on, each text once. */
async function textsOf(page: Page, element: Locator): Promise<() => Promise<string[]>> {
  await element.evaluate((it) => {
    const texts = new Set<string>();
    new MutationObserver(() => texts.add(it.textContent ?? ""))
      .observe(it, { subtree: true, childList: true, characterData: true });
    Object.assign(globalThis, { texts });
  });
  return () => page.evaluate(() => [...(globalThis as unknown as { texts: Set<string> }).texts]);
}
