/** The tutorial is the text of examples/bank: its blocks are parts of those files, and leave none out. */
import { writeBatch } from "@messagedb/client";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { chromium as playwright } from "playwright-core";
import postgres from "postgres";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { blocksOfMarkdown, markdownFiles } from "../_blocks.ts";
import { pathOf } from "../_path_of.ts";
import { chromium } from "../_browser.ts";
import { createDatabase } from "../_server.ts";
import { eventually } from "../_until.ts";

const named = markdownFiles("docs/tutorial").flatMap(blocksOfMarkdown)
  .filter(({ name }) => name !== undefined);
const files = readdirSync(pathOf("examples/bank")).map((file) => `examples/bank/${file}`);

test("what is called a file is a part of that file, word for word", () => {
  expect(named).not.toEqual([]);
  expect([...new Set(named.map(({ name }) => name))].sort()).toEqual(files.sort());
  const wrong = named.filter(({ name, code }) =>
    !`\n${readFileSync(pathOf(name!), "utf8")}`.includes(`\n${code}`)
  );
  expect(wrong.map(({ file, line, name }) => `${file}:${line}: ${name}`)).toEqual([]);
});

test.each(files)("the tutorial has every line of %s", (file) => {
  const told = new Set(
    named.filter(({ name }) => name === file).flatMap(({ code }) => code.split("\n")),
  );
  // What the comment at the top of a file says, the tutorial says itself.
  const code = readFileSync(pathOf(file), "utf8").replace(/^\/\*\*\n[^]*?\*\/\n/, "");
  expect(code.split("\n").filter((line) => line !== "" && !told.has(line))).toEqual([]);
});

test("main.ts prints what the tutorial says", async () => {
  const database = await createDatabase(inject("databaseOrigin"));
  onTestFinished(() => database.drop());
  const { stdout } = await promisify(execFile)(pathOf("node_modules/.bin/tsx"), ["bank/main.ts"], {
    cwd: pathOf("examples"),
    env: { ...process.env, DATABASE_URL: database.url },
  });
  const printed = stdout.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "…");
  const told = ["index", "5-story"].flatMap((page) => blocksOfMarkdown(`docs/tutorial/${page}.md`))
    .filter(({ language }) => language === "text");
  expect(told.length).toBe(3);
  for (const { code } of told) expect(printed).toContain(`\n${code}`);
});

/** Starts a program of the bank; answers the first line that it prints, and how to end it. */
async function start(program: string, env: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, ["--import", "tsx", `bank/${program}`], {
    cwd: pathOf("examples"),
    env: { ...process.env, PORT: "0", ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exit = once(child, "exit");
  const stop = () => {
    child.kill("SIGTERM");
    return exit;
  };
  onTestFinished(() => void stop());
  const [line] = await once(createInterface({ input: child.stdout }), "line") as [string];
  return { line, stop };
}

test("database.ts is a database until it is told to stop", async () => {
  const { line, stop } = await start("database.ts", {});
  const [, url] = /^export DATABASE_URL=(postgres:\S+)$/.exec(line)!;
  const sql = postgres(url!);
  await writeBatch(sql, "account-1", [{ type: "Opened" }]);
  await sql.end();
  expect(await stop()).toEqual([0, null]);
});

describe("page.ts", () => {
  async function startPage() {
    const database = await createDatabase(inject("databaseOrigin"));
    onTestFinished(() => database.drop());
    const { line, stop } = await start("page.ts", { DATABASE_URL: database.url });
    const address = line.slice("Listening on ".length);
    const sql = postgres(database.url);
    onTestFinished(() => sql.end());
    return { sql, stop, address };
  }

  test("lets everybody read the accounts, and nobody anything else", async () => {
    const { sql, address, stop } = await startPage();
    await writeBatch(sql, "account-1", [{ type: "Opened", data: { owner: "Ada" } }]);
    expect(await (await fetch(address)).text()).toContain("<h1>Balances</h1>");
    const messages = `${address}/events/categories/account/messages`;
    expect((await fetch(messages)).status).toBe(200);
    const { status } = await fetch(`${address}/events/streams/account-1/messages`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ type: "Deposited", data: { amount: "1" } }),
    });
    expect(status).toBe(403);
    expect((await fetch(`${address}/events/messages`)).status).toBe(403);
    expect((await fetch(`${address}/events/categories/transfer/messages`)).status).toBe(403);
    expect(await stop()).toEqual([0, null]);
  });

  test.skipIf(!chromium)("shows the balances as they change", async () => {
    const { sql, address, stop } = await startPage();
    const opened = (owner: string) => ({ type: "Opened", data: { owner } });
    const moved = (type: string, amount: string) => ({ type, data: { amount } });
    await writeBatch(sql, "account-1", [opened("<b>Ada"), moved("Deposited", "10050")]);
    const browser = await playwright.launch({ executablePath: chromium! });
    onTestFinished(() => browser.close());
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on("pageerror", ({ message }) => errors.push(message));
    await page.goto(address);
    const rows = () =>
      page.locator("tr").evaluateAll((rows: HTMLElement[]) => rows.map((row) => row.innerText));
    await eventually(async () => expect(await rows()).toEqual(["<b>Ada\t100.50"]));

    await writeBatch(sql, "account-2", [opened("Grace"), moved("Deposited", "9007199254740993")]);
    await writeBatch(sql, "account-1", [moved("Withdrawn", "5000"), moved("Refunded", "1")]);
    await writeBatch(sql, "account-3", [moved("DepositRefused", "5000")]);
    await eventually(async () => {
      expect(await rows()).toEqual(["<b>Ada\t50.51", "Grace\t90071992547409.93"]);
    });
    expect(await page.locator("output").textContent()).toBe("");
    expect(await stop()).toEqual([0, null]);
    await page.getByText("No connection").waitFor();
    expect(errors).toEqual([]);
  });
});
