/**
 * Makes the pictures of docs/public/studio: each view of the studio, in both themes.
 *
 *     npm run screenshots
 */
import { mkdirSync, writeFileSync } from "node:fs";
import process from "node:process";
import postgres from "postgres";
import { startEmbedded } from "../../src/database/embedded.ts";
import { studio } from "../../src/studio/studio.ts";
import { serveStudio, startBrowser } from "./_browse.ts";
import { smallPng } from "./_small_png.ts";
import { bankAccount, bankBalances, fillHistory, fillToday, runBank } from "./_story.ts";

const folder = process.argv[2] ?? "docs/public/studio";
const server = await startEmbedded();
const sql = postgres(server.url, { onnotice: () => {} });
const stopping = new AbortController();
await fillHistory(sql, 200_000);
await fillToday(sql);
const running = runBank(sql, stopping.signal);
const served = await serveStudio(studio(sql, {
  authorize: () => true,
  readOnly: false,
  entities: [bankAccount],
  consumers: [bankBalances],
  signal: stopping.signal,
}));
const [correction] = await sql`
  select id, position from message_store.messages
  where stream_name = 'account-1007' and data ->> 'reason' = 'correction'`;
const { id, position } = correction!;

const views: Readonly<Record<string, string>> = {
  overview: "/",
  all: "/all",
  categories: "/categories",
  category: "/categories/account",
  stream: `/streams/account-1007?message=${id}`,
  message: `/messages/${id}`,
  trace: `/trace/${id}`,
  entity: `/entities/account-1007?position=${Number(position) - 1}`,
  consumers: "/consumers",
  consumer: "/consumers/account%3Aposition-balances",
};

mkdirSync(folder, { recursive: true });
const browser = await startBrowser();
for (const colorScheme of ["light", "dark"] as const) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme });
  const page = await context.newPage();
  for (const [name, path] of Object.entries(views)) {
    await page.goto(served.origin + path);
    // Long enough for what is counted over time.
    await page.waitForTimeout(name.startsWith("consumer") ? 16_000 : 4000);
    writeFileSync(`${folder}/${name}-${colorScheme}.png`, smallPng(await page.screenshot()));
    console.log(`${folder}/${name}-${colorScheme}.png`);
  }
  await context.close();
}
await browser.close();
stopping.abort();
await running;
await served.stop();
await sql.end();
await server.stop();
