import { drain, readStream, write } from "@messagedb/client";
import { parked } from "@messagedb/client/operate";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { describeInBrowser } from "../_describe_in_browser.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { startBrowser, troubleOf } from "../studio/_browse.ts";
import { useMessagedb } from "./_messagedb.ts";
import { ask, cookieOf, startStudio } from "./_studio.ts";

const db = useDatabase();
const messagedb = useMessagedb(db);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "messagedb-client-"));
  await write(db.sql, "account-1", { type: "Opened", data: { owner: "Ada" } });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Sends a request whose `Host` is not the address, as a browser does that a foreign name led here. */
async function statusAt(root: string, host: string, cookie: string): Promise<number> {
  const sent = request(`${root}/`, { headers: { host, cookie } }).end();
  const [response] = await once(sent, "response");
  response.resume();
  return response.statusCode;
}

describe("the address", () => {
  test("is one line, and has its token where no server and no log gets it", async () => {
    const studio = await startStudio(messagedb);
    expect(studio.line).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{24}\/open#[\w-]{43}$/);
    await until(() => studio.notes().split("\n").length > 2);
    expect(studio.notes()).toMatch(
      /^The studio of postgres:.+\. It only reads: --write lets it do more\.\nThe address opens it once, .+\n$/,
    );
    expect(await studio.stop()).toBe(0);
    expect(studio.notes()).not.toContain(studio.token);
    const asJson = await startStudio(messagedb, ["--json"]);
    expect(Object.keys(JSON.parse(asJson.line))).toEqual(["url"]);
    expect(asJson.token).not.toBe(studio.token);
  });

  test("leads to a page with a script of its own, under the policy of the studio", async () => {
    const { root, token } = await startStudio(messagedb);
    const page = await fetch(`${root}/open`);
    expect(page.status).toBe(200);
    const policy = page.headers.get("content-security-policy")!;
    expect(policy).toMatch(/default-src 'none'; script-src 'self';.+frame-ancestors 'none'/);
    expect(page.headers.get("cache-control")).toBe("no-store");
    const html = await page.text();
    expect([...html.matchAll(/<script[^>]*>(.*?)<\/script>/gs)].map(([tag]) => tag))
      .toEqual(['<script type="module" src="open.js"></script>']);
    const script = await fetch(`${root}/open.js`);
    expect(script.headers.get("content-type")).toMatch(/^text\/javascript/);
    expect(html + await script.text()).not.toContain(token);
  });

  test("opens the studio once, by a cookie that no script and no other site has", async () => {
    const studio = await startStudio(messagedb);
    const opened = await studio.open();
    expect(opened.status).toBe(204);
    const { pathname } = new URL(studio.root);
    expect(opened.headers.get("set-cookie")).toMatch(
      new RegExp(`^messagedb-studio=[\\w-]{43}; Path=${pathname}; HttpOnly; SameSite=Strict$`),
    );
    expect(opened.headers.get("set-cookie")).not.toContain(studio.token);
    const again = await studio.open();
    expect(again.status).toBe(403);
    expect(again.headers.get("set-cookie")).toBeNull();
    expect(await again.json()).toMatchObject({
      detail: expect.stringMatching(/^This address was used already: .+"messagedb studio" again$/),
    });
    // In the same browser, the address is as good as the studio's own.
    expect((await studio.open(studio.token, { cookie: cookieOf(opened) })).status).toBe(204);
  });

  test("is refused with another token, which leaves the token what it is", async () => {
    const studio = await startStudio(messagedb);
    for (const wrong of ["", "x", `${studio.token}x`, studio.token.slice(1), "$".repeat(43)]) {
      const refused = await studio.open(wrong);
      expect(refused.status).toBe(403);
      expect((await refused.json()).detail).toMatch(/^This is not the address that .+ printed: /);
    }
    expect((await studio.open()).status).toBe(204);
  });
});

describe("without a session", () => {
  test("a page says what to do, and what a page asks is refused", async () => {
    const { root } = await startStudio(messagedb);
    const wrong = `messagedb-studio=${"x".repeat(43)}`;
    for (const cookie of ["", "a=b", wrong]) {
      for (const path of ["/", "/streams/account-1", "/assets/none.js", "/open/"]) {
        const page = await fetch(`${root}${path}`, { headers: { cookie } });
        expect(page.status).toBe(401);
        expect(page.headers.get("content-security-policy")).toMatch(/default-src 'none'/);
        expect(await page.text()).toContain(
          "open the address that &quot;messagedb studio&quot; printed",
        );
      }
      const refused = await ask(root, "findMessages", { source: "$all" }, cookie);
      expect(refused.status).toBe(401);
      expect(refused.headers.get("content-type")).toBe("application/problem+json");
      expect((await refused.json()).detail).toMatch(/^This browser has not opened the studio: /);
    }
    // What is beside the studio does not tell where the studio is.
    const { origin, pathname } = new URL(root);
    for (const path of ["/", "/open", "/api/open", `${pathname}x/`, pathname.slice(0, -1)]) {
      const beside = await fetch(`${origin}${path}`);
      expect([path, beside.status]).toEqual([path, 404]);
      expect(beside.headers.get("content-security-policy")).toBe("default-src 'none'");
      expect(await beside.text()).not.toContain(pathname);
    }
    const file = `${root}/api/messages/${crypto.randomUUID()}`;
    expect((await fetch(file)).status).toBe(401);
  });

  test("two studios of one host do not disturb each other", async () => {
    const [one, two] = [await startStudio(messagedb), await startStudio(messagedb)];
    expect(new URL(one.root).pathname).not.toBe(new URL(two.root).pathname);
    const [cookie, other] = [cookieOf(await one.open()), cookieOf(await two.open())];
    const both = `${cookie}; ${other}`;
    for (const { root } of [one, two]) {
      expect((await ask(root, "open", {}, both)).status).toBe(200);
    }
    expect((await ask(one.root, "open", {}, other)).status).toBe(401);
  });
});

test("a name that is not this machine's is refused, with a session too", async () => {
  const { root, open } = await startStudio(messagedb);
  const cookie = cookieOf(await open());
  const { port } = new URL(root);
  expect(await statusAt(root, `localhost:${port}`, cookie)).toBe(200);
  expect(await statusAt(root, `127.0.0.1:${port}`, cookie)).toBe(200);
  const evil = ["evil.example", `127.0.0.1.evil.example:${port}`];
  for (const host of [...evil, `evil.example:${port}`, "127.0.0.1", "localhost:1"]) {
    expect(await statusAt(root, host, cookie)).toBe(421);
  }
});

describe("the store", () => {
  const message = { streamName: "visit-1", type: "Came", data: {} };

  test("is only read, unless --write is given", async () => {
    const reading = await startStudio(messagedb);
    expect(await (await reading.ask("open")).json()).toMatchObject({
      readOnly: true,
      entities: [],
      consumers: [],
      schema: "message_store",
      partitions: 1,
    });
    const found = await (await reading.ask("findMessages", { source: "account" })).json();
    expect(found).toMatchObject({ messages: [{ type: "Opened" }] });
    const refused = await reading.ask("write", message);
    expect([refused.status, (await refused.json()).code]).toEqual([403, "READ_ONLY"]);
    expect(await readStream(db.sql, "visit-1")).toEqual([]);

    const writing = await startStudio(messagedb, ["--write"]);
    expect(await (await writing.ask("open")).json()).toMatchObject({ readOnly: false });
    expect(await (await writing.ask("write", message)).json()).toEqual({ position: 0 });
    expect(await readStream(db.sql, "visit-1")).toMatchObject([{ type: "Came" }]);
    await until(() => writing.notes().includes("Its pages can change the store"));
  });

  test("has the consumers and the entities of --module", async () => {
    const library = join(dirname(messagedb.path), "../mod.js");
    await writeFile(
      join(folder, "account.mjs"),
      `import { entity } from ${JSON.stringify(library)};
      export const account = entity({
        category: "account",
        init: () => ({ names: [] }),
        evolve: ({ names }, { data }) => ({ names: [...names, data.owner] }),
      });
      export const limit = { most: 5 };
      export default account;`,
    );
    await writeFile(
      join(folder, "letters.mjs"),
      `export const letters = { category: "letter", consumerId: "letters", handle() {} };
      setInterval(() => {}, 1000);`,
    );
    const letters = {
      category: "letter",
      consumerId: "letters",
      onError: "park",
      handle: () => {
        throw new Error("no address");
      },
    } as const;
    await write(db.sql, "letter-1", { type: "Sent" });
    await drain(db.sql, letters);
    const args = ["--write", "--module", "account.mjs", "--module", "letters.mjs"];
    const studio = await startStudio(messagedb, args, { cwd: folder });
    const { category, consumerId } = letters;
    expect(await (await studio.ask("open")).json()).toMatchObject({
      entities: ["account"],
      consumers: [{ category, consumerId }],
    });
    expect(await (await studio.ask("states", { streamName: "account-1" })).json()).toMatchObject({
      by: "entity",
      states: [{ state: '{"names":["Ada"]}' }],
    });
    const replayed = await studio.ask("replayParked", { consumer: { category, consumerId } });
    expect(await replayed.json()).toMatchObject({ replayed: 1, parked: 0 });
    expect(await parked(db.sql, letters)).toEqual([]);
    // The module holds a timer, which does not hold the command.
    expect(await studio.stop()).toBe(0);
  });
});

describe("Ctrl-C", () => {
  test("ends it at once, though a page asks and connections are open", async () => {
    const studio = await startStudio(messagedb);
    await studio.ask("open");
    const lock = db.connect({ max: 1 });
    let release = () => {};
    const released = new Promise<void>((resolve) => release = resolve);
    let isHeld = false;
    const holding = lock.begin(async (tx) => {
      await tx`lock table message_store.messages in access exclusive mode`;
      isHeld = true;
      await released;
    });
    await until(() => isHeld);
    const search = studio.ask("findMessages", { source: "$all" }).catch(() => "ended");
    await until(async () => {
      const [{ count } = { count: 0 }] = await db.sql`
        select count(*)::int from pg_stat_activity
        where application_name = 'messagedb' and wait_event_type = 'Lock'`;
      return count > 0;
    });
    expect(await studio.stop()).toBe(0);
    await search;
    expect(studio.notes()).not.toContain("error:");
    release();
    await holding;
  });
});

test("the help says what can be given", async () => {
  const help = await messagedb.print("studio", "--help");
  for (const option of ["--port <number>", "--write", "--module <file>"]) {
    expect(help).toContain(option);
  }
  expect(await messagedb.print("complete", "--", "stud")).toMatch(/^studio\t.+\n:4\n$/);
  expect(await messagedb.print("complete", "--", "studio", "--w")).toMatch(/^--write\t/);
  expect(await messagedb.print("complete", "--", "studio", "--module", "")).toBe(":0\n");
});

test("a port that is taken is said to be", async () => {
  const { root } = await startStudio(messagedb);
  const { port } = new URL(root);
  expect(await messagedb.run(["studio", "--port", port])).toEqual({
    stdout: "",
    stderr: `error: Cannot listen on 127.0.0.1:${port}: another program listens there: ` +
      "give another --port\n",
    exitCode: 1,
  });
});

describe("refuses with exit code", () => {
  test.each([
    [
      3,
      [],
      { url: "postgres://127.0.0.1:1/a" },
      /^error: Cannot reach postgres:\/\/127.0.0.1:1\/a/,
    ],
    [3, ["--schema", "absent"], {}, /^error: Cannot find Message DB 1.3 in the schema "absent"/],
    [2, [], { url: "http://127.0.0.1:1" }, /^error: Cannot do this over the gateway http:/],
    [2, [], { url: "" }, /^error: No store is named/],
    [2, ["--token", "a"], {}, /^error: A token is for a gateway/],
    [2, ["--partition", "1"], {}, /^error: There is one address, and --partition is for/],
    [2, ["--port", "65536"], {}, /whole number from 1 up to 65535\.\n/],
    [2, ["--module", "no.mjs"], {}, /^error: Cannot read the module "no.mjs": there is no such/],
    [2, ["--module", "none.mjs"], {}, /^error: The module "none.mjs" exports no consumer .+\n$/],
    [2, ["--module", "wrong.mjs"], {}, /^error: .+consumerId/],
  ])("%i: %j %j", async (exitCode, args, options, sentence) => {
    await writeFile(join(folder, "none.mjs"), "export const account = { category: 'account' };");
    await writeFile(
      join(folder, "wrong.mjs"),
      "export const letters = { category: 'letter', consumerId: 7, handle() {} };",
    );
    const run = await messagedb.run(["studio", ...args], { cwd: folder, ...options });
    expect(run).toMatchObject({ stdout: "", exitCode });
    expect(run.stderr).toMatch(sentence);
  });
});

test.each(["deno", "bun"] as const)("opens, reads and ends on %s", async (runtime) => {
  const studio = await startStudio(messagedb, [], { runtime });
  const found = await studio.ask("findMessages", { source: "account" });
  expect(await found.json()).toMatchObject({ messages: [{ type: "Opened" }] });
  expect((await studio.open()).status).toBe(403);
  expect(await statusAt(studio.root, "evil.example", "")).toBe(421);
  expect(await studio.stop()).toBe(0);
});

describeInBrowser("the address in a browser", () => {
  test("opens the studio, and a second browser is told why not", async () => {
    const studio = await startStudio(messagedb);
    const browser = await startBrowser();
    try {
      const [page, other] = [await browser.newPage(), await browser.newPage()];
      const trouble = troubleOf(page);
      await page.goto(studio.line);
      await page.waitForURL(`${studio.root}/`);
      await page.getByRole("heading").first().waitFor();
      expect(trouble).toEqual([]);
      expect(await page.context().cookies()).toMatchObject([
        { httpOnly: true, sameSite: "Strict", expires: -1 },
      ]);
      expect(await page.evaluate("document.cookie")).toBe("");
      const cookies: unknown[] = [];
      const beside = createServer(({ headers }, response) => {
        cookies.push(headers.cookie);
        response.end();
      });
      await new Promise<void>((resolve) => beside.listen(0, "127.0.0.1", resolve));
      // The browser asks for the icon of the page when it likes: the server answers until the test is over.
      onTestFinished(() => void beside.close());
      await page.goto(`http://127.0.0.1:${(beside.address() as AddressInfo).port}/`);
      expect(cookies[0]).toBeUndefined();
      await page.goto(`${studio.root}/streams/account-1`);
      await page.getByText("Opened").first().waitFor();
      expect(trouble).toEqual([]);

      await other.goto(studio.line);
      await other.getByText("This address was used already").waitFor();
      expect(other.url()).toBe(`${studio.root}/open`);
      expect(await studio.stop()).toBe(0);
    } finally {
      await browser.close();
    }
  });
});
