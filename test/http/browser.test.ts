import { iterateCategory, iterateStream, type Message, readStream, write } from "@messagedb/client";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type OpenPage, openPage } from "../_browser.ts";
import { bundleScript } from "../_bundle_script.ts";
import { describeInBrowser } from "../_describe_in_browser.ts";
import { useDatabase } from "../database.ts";
import { type GatewayServer, startGateway } from "../runtimes/_gateway_server.ts";
import type { Heard } from "./_page.ts";

/** What the page knows: functions of these tests are run in it. */
declare const inPage: typeof import("./_page.ts");

describeInBrowser("a page in Chromium", () => {
  const db = useDatabase();
  let opened: OpenPage;
  let server: GatewayServer;

  beforeAll(async () => {
    opened = await openPage();
    server = await startGateway(db.url, { cors: [opened.origin] });
    const path = fileURLToPath(new URL("_page.ts", import.meta.url));
    await opened.page.addScriptTag({ content: await bundleScript(path, "inPage") });
  });

  afterAll(async () => {
    await opened?.close();
    await server?.stop();
  });

  test("writes and reads with fetchSql()", async () => {
    const messages = await opened.page.evaluate(async (url) => {
      const sql = inPage.fetchSql(url);
      for (const amount of [11, 12]) {
        await inPage.write(sql, "account-1", { type: "Deposited", data: { amount } });
      }
      return await inPage.readStream<{ amount: number }>(sql, "account-1");
    }, `${server.origin}/sql`);
    expect(messages.map(({ data }) => data.amount)).toEqual([11, 12]);
    expect(messages).toEqual(await readStream(db.sql, "account-1"));
  });

  test("misses nothing and sees nothing twice by EventSource when the gateway restarts", async () => {
    const { page, origin } = opened;
    const follow = (path: string) =>
      page.evaluateHandle((url) => inPage.follow(url), `${server.origin}/${path}/messages`);
    const stream = await follow("streams/counter-1");
    const category = await follow("categories/counter");
    const bothHave = async (condition: (heard: Heard) => boolean): Promise<void> => {
      await Promise.all(
        [stream, category].map((heard) => page.waitForFunction(condition, heard)),
      );
    };

    let isOver = false;
    const writing = (async () => {
      for (let number = 1; !isOver; number++) {
        await write(db.sql, `counter-${number % 2}`, { type: "Counted", data: { number } });
      }
    })();
    try {
      await bothHave(({ messages }) => messages.length > 0);
      await server.stop();
      await bothHave(({ failures }) => failures > 0);
      server = await startGateway(db.url, { port: server.port, cors: [origin] });
      await bothHave(({ connections }) => connections === 2);
    } finally {
      isOver = true;
      await writing;
    }
    await page.evaluate(
      (url) => inPage.write(inPage.fetchSql(url), "counter-1", { type: "Last" }),
      `${server.origin}/sql`,
    );
    await bothHave(({ messages }) => messages.at(-1)!.type === "Last");

    const ofStream = await collect(iterateStream(db.sql, "counter-1"));
    expect(await stream.jsonValue()).toMatchObject({
      messages: asJson(ofStream),
      ids: ofStream.map(({ position }) => `${position}`),
      connections: 2,
    });
    const ofCategory = await collect(iterateCategory(db.sql, "counter"));
    expect(await category.jsonValue()).toMatchObject({
      messages: asJson(ofCategory),
      ids: ofCategory.map(({ globalPosition }) => `${globalPosition}`),
      connections: 2,
    });
  });
});

async function collect(messages: AsyncIterable<Message>): Promise<Message[]> {
  const all: Message[] = [];
  for await (const message of messages) all.push(message);
  return all;
}

/** Without dates, as it travels. */
function asJson(messages: readonly Message[]): unknown {
  return JSON.parse(JSON.stringify(messages));
}
